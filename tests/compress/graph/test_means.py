"""Means by channel are those of all positions of all samples, whatever the samples' shapes and the model's opset."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.graph.means import channel_means
from edgeml_compress.graph.running import open_session

RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.standard_normal((5, 3, 3, 3)).astype("f4"), "m": RNG.standard_normal((5, 4)).astype("f4")}
TEXT = """t (float[b, 3, h, v] x) => (float[b, 4] y) {
    a = Conv(x, w)
    t = Transpose <perm = [0, 2, 3, 1]> (a)
    k = MatMul(t, m)
    y = ReduceMean <axes = [1, 2], keepdims = 0> (k)
}"""


@pytest.mark.parametrize("opset", [13, 17])
def test_every_position_counts_the_same(graph, opset: int) -> None:  # type: ignore[no-untyped-def]
    model = graph(TEXT, WEIGHTS)
    model.opset_imports[""] = opset
    feeds = [{"x": RNG.standard_normal((1, 3, size, 9)).astype("f4")} for size in (5, 12, 20)]
    found = channel_means(model, {"a": 1, "k": -1}, feeds)
    session = open_session(model, ["a", "k"])
    runs = [session.run(None, feed) for feed in feeds]
    for name, axis, index in (("a", 1, 0), ("k", -1, 1)):
        rows = np.concatenate([np.moveaxis(run[index], axis, -1).reshape(-1, run[index].shape[axis]) for run in runs])
        np.testing.assert_allclose(found[name], rows.mean(axis=0), atol=1e-5)
    assert [v.name for v in model.graph.outputs] == ["y"]  # the model is as it was
