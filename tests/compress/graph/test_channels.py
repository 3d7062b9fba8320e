"""The largest value of each channel is seen on a few samples, evenly spread over all, whatever their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import prepare
from edgeml_compress.graph import channels
from edgeml_compress.graph.channels import largest_by_channel


@pytest.mark.parametrize(("most", "seen"), [(64, 10), (4, 4), (1, 1)])
def test_the_largest_of_each_channel(
    most: int, seen: int, graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MOST_SEEN", most)
    model = prepare(graph("t (float[1, 3, 2] x) => (float[1, 3, 2] y) { y = Relu(x) }"), where="t").model
    samples = np.random.default_rng(0).uniform(0, 1, (10, 3, 2)).astype(np.float32)
    chosen = samples[np.linspace(0, 9, seen).astype(int)]
    found = largest_by_channel(model, {"x": samples}, {"y": 1, "x": -1})
    np.testing.assert_array_equal(found["y"], chosen.max(axis=(0, 2)))
    np.testing.assert_array_equal(found["x"], chosen.max(axis=(0, 1)))
