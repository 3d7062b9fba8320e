"""A Softmax that ONNX's converter flattened for runs over its axis again."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.rewrites.unflatten_softmax import unflatten_softmax

X = {"x": np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)}
TEXT = """t (float[b, 3, 5] x) => (float[b, 3, 5] y) {
    s = Shape(x)
    f = Flatten<axis = 2>(x)
    m = Softmax<axis = -1>(f)
    y = Reshape(m, s)
}"""


def test_over_the_last_axis_it_needs_no_flattening(rewritten) -> None:  # type: ignore[no-untyped-def]
    assert rewritten(unflatten_softmax, TEXT, {}, X, changes=1) == ["Softmax"]


@pytest.mark.parametrize(("written", "other"), [("axis = 2", "axis = 1"), ("Shape(x)", "Shape(m)")])
def test_over_several_axes_or_another_shape_it_stays(written, other, graph) -> None:  # type: ignore[no-untyped-def]
    text = TEXT.replace(written, other)
    if "Shape(m)" in other:
        text = text.replace("    s = Shape(m)\n", "").replace("    y =", "    s = Shape(m)\n    y =")
    assert unflatten_softmax(graph(text)) == 0
