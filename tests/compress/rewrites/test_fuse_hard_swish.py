"""x * Clip(x + 3, 0, 6) / 6, however it is written, becomes HardSwish; what only looks like it does not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress.rewrites.fuse_hard_sigmoid import fuse_hard_sigmoid
from edgeml_compress.rewrites.fuse_hard_swish import fuse_hard_swish

X = {"x": np.linspace(-6, 6, 24, dtype=np.float32).reshape(2, 12)}
HEAD = """t (float[b, 12] x) => (float[b, 12] y) {
    three = Constant<value = float {3.0}>()
    zero = Constant<value = float {0.0}>()
    six = Constant<value = float {6.0}>()
    sixth = Constant<value = float {0.16666667}>()
"""
WRITTEN = {
    "divided at the end": "a = Add(x, three)\n c = Clip(a, zero, six)\n m = Mul(x, c)\n y = Div(m, six) }",
    "scaled at the end, the other way round": "a = Add(three, x)\n c = Clip(a, zero, six)\n m = Mul(c, x)\n y = Mul(sixth, m) }",
    "the gate divided": "a = Add(x, three)\n c = Clip(a, zero, six)\n g = Div(c, six)\n y = Mul(g, x) }",
    "the gate an operator": "g = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x)\n y = Mul(x, g) }",
}
OTHERS = {
    "another shift": "a = Add(x, six)\n c = Clip(a, zero, six)\n m = Mul(x, c)\n y = Div(m, six) }",
    "a bound below 0": "a = Add(x, three)\n n = Neg(three)\n c = Clip(a, n, six)\n m = Mul(x, c)\n y = Div(m, six) }",
    "the gate of another value": "r = Relu(x)\n a = Add(r, three)\n c = Clip(a, zero, six)\n m = Mul(x, c)\n y = Div(m, six) }",
    "divided by another number": "a = Add(x, three)\n c = Clip(a, zero, six)\n m = Mul(x, c)\n y = Div(m, three) }",
    "a number divided by it": "a = Add(x, three)\n c = Clip(a, zero, six)\n m = Mul(x, c)\n o = Add(m, six)\n y = Div(six, o) }",
    "a gate of another slope": "g = HardSigmoid<alpha = 0.2, beta = 0.5>(x)\n y = Mul(x, g) }",
}


def both(model: ir.Model) -> int:
    fuse_hard_sigmoid(model)
    return fuse_hard_swish(model)


@pytest.mark.parametrize("how", WRITTEN)
def test_it_is_told_however_it_is_written(how, rewritten) -> None:  # type: ignore[no-untyped-def]
    assert rewritten(both, HEAD + WRITTEN[how], {}, X, changes=1) == ["HardSwish"]


@pytest.mark.parametrize("how", OTHERS)
def test_what_only_looks_like_it_stays(how, rewritten) -> None:  # type: ignore[no-untyped-def]
    assert "HardSwish" not in rewritten(both, HEAD + OTHERS[how], {}, X, changes=0)


def test_before_onnx_had_the_operator_it_stays(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = HEAD + WRITTEN["divided at the end"]
    assert "HardSwish" not in rewritten(both, text, {}, X, changes=0, opset=13)


def test_a_gate_that_others_read_stays(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = HEAD.replace("(float[b, 12] y)", "(float[b, 12] y, float[b, 12] c)") + WRITTEN["divided at the end"]
    assert "HardSwish" not in rewritten(both, text, {}, X, changes=0)
