"""What calibration costs: samples that take no memory, ratios of neighbours in time, a chapter only where something was kept."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from peers.calibration import ENTROPY, FLOAT, OURS, RESULT, SHAPE, Cost, noise, rows, section
from peers.resnet50 import resnet50


def test_samples_differ_and_take_no_memory_of_their_own() -> None:
    samples = noise(5)
    assert samples.shape == (5, *SHAPE)
    assert not np.array_equal(samples[0], samples[1])
    assert np.shares_memory(samples[0], samples[4])


def test_a_run_is_compared_with_the_float_run_before_it_at_as_many_samples() -> None:
    costs = [
        (FLOAT, Cost(300, 10, 20, 100)),
        (OURS, Cost(300, 12, 30, 150)),
        (ENTROPY, Cost(30, 8, 10, 900)),
        (FLOAT, Cost(300, 20, 20, 100)),
        (OURS, Cost(300, 26, 30, 150)),
    ]
    found = {name: (cost, ratio, runs) for name, cost, ratio, runs in rows(costs)}
    assert found[OURS] == (Cost(300, 19, 30, 150), Cost(300, 1.25, 1.5, 1.5), 2)
    assert found[ENTROPY] == (Cost(30, 8, 10, 900), Cost(30, 8, 5, 9), 1)


def test_the_chapter_is_of_what_was_kept(tmp_path: Path) -> None:
    assert section(tmp_path) == ""
    kept = {"batch": 1, "threads": 2, "machine": "Measured here.", "costs": [(FLOAT, asdict(Cost(300, 10, 20, 100)))]}
    (tmp_path / RESULT).write_text(json.dumps(kept))
    assert "| float model alone | 300 | 1 | 10.0 | 20.0 | 100 | 1.00 | 1.00 | 1.00 |" in section(tmp_path)


def test_the_network_has_resnet_50s_layers() -> None:
    model = resnet50()
    assert sum(node.op_type == "Conv" for node in model.graph) == 53
    parameters = sum(int(v.const_value.size) for v in model.graph.initializers.values() if v.const_value is not None)
    assert 25.4e6 < parameters < 25.6e6  # torchvision's 25.557 million, less what folding batch norms saves
