"""A measurement: the document, figures that agree with a bare loop, and targets that are not here."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from edgeml_bench import Measurement, measure, obstacle
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import installed
from edgeml_targets.target import find_target, target_names

FIELDS = (
    "schema model target runtime runtime_version threads inferences p50_us p90_us p99_us throughput_per_s load_ms "
    "peak_memory_bytes size_bytes machine"
).split()


@pytest.fixture(scope="module")
def measured(tiny_cnn: Path) -> Measurement:
    return measure(tiny_cnn, find_target("x86_64-onnxruntime"), threads=1)


def test_a_measurement_is_the_document_that_others_rely_on(measured: Measurement, tiny_cnn: Path) -> None:
    document = json.loads(measured.to_json())
    assert [f for f in FIELDS if f not in document] == []
    assert document["schema"] == "edgeml.bench/1" and {"cpu", "cores", "features"} <= set(document["machine"])
    assert document["inferences"] >= 500
    assert 0 < document["p50_us"] <= document["p90_us"] <= document["p99_us"]
    assert document["size_bytes"] == tiny_cnn.stat().st_size
    assert document["peak_memory_bytes"] > document["added_memory_bytes"] > 0


def test_the_median_agrees_with_a_bare_loop(measured: Measurement, tiny_cnn: Path) -> None:
    """Within a factor of 2, as the acceptance script asks: the machine is shared, and the two ran at different times."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(tiny_cnn), options, providers=["CPUExecutionProvider"])
    one, times = {"x": np.zeros((1, 3, 16, 16), np.float32)}, []
    for _ in range(1000):
        began = time.perf_counter()
        session.run(None, one)
        times.append(1e6 * (time.perf_counter() - began))
    assert 0.5 < measured.p50_us / statistics.median(times) < 2


@pytest.mark.parametrize("name", target_names())
def test_every_target_is_measured_here_or_says_why_not(name: str, tiny_cnn: Path) -> None:
    target = find_target(name)
    problem = obstacle(target)
    if problem is not None:
        assert problem.where == name and problem.mend
        with pytest.raises(EdgemlError, match=name):
            measure(tiny_cnn, target)
    else:
        assert installed(target.runtime)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(EdgemlError, match=r"missing\.onnx: no such file"):
        measure(Path("missing.onnx"), find_target("x86_64-onnxruntime"))
