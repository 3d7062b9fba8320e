"""A clipped line from 0 to 1 becomes HardSigmoid."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.rewrites.fuse_hard_sigmoid import fuse_hard_sigmoid

X = {"x": np.linspace(-6, 6, 24, dtype=np.float32).reshape(2, 12)}
TEXT = """t (float[b, 12] x) => (float[b, 12] y) {
    one = Constant<value = float {1.0}>()
    two = Constant<value = float {2.0}>()
    zero = Constant<value = float {0.0}>()
    six = Constant<value = float {6.0}>()
    fifth = Constant<value = float {0.2}>()
"""


@pytest.mark.parametrize(
    "body",
    [
        "a = Add(x, two)\n c = Clip(a, zero, six)\n y = Div(c, six) }",
        "m = Mul(x, fifth)\n a = Add(m, two)\n y = Clip(a, zero, one) }",
        "m = Div(x, two)\n a = Add(one, m)\n c = Clip(a, zero, six)\n y = Div(c, six) }",
    ],
)
def test_slope_and_offset_are_drawn_from_the_numbers(body, rewritten) -> None:  # type: ignore[no-untyped-def]
    assert rewritten(fuse_hard_sigmoid, TEXT + body, {}, X, changes=1) == ["HardSigmoid"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Add(x, two)\n y = Clip(a, zero, one) }",
        "a = Add(x, two)\n c = Clip(a, zero, six)\n y = Div(c, two) }",
        "a = Add(x, x)\n c = Clip(a, zero, six)\n y = Div(c, six) }",
    ],
)
def test_what_is_no_such_line_stays(body, rewritten) -> None:  # type: ignore[no-untyped-def]
    assert "HardSigmoid" not in rewritten(fuse_hard_sigmoid, TEXT + body, {}, X, changes=0)
