"""Activations that LiteRT has no kernel for, from several that it has. All compute in float."""

from __future__ import annotations

import math
from typing import Final

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import apply
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.registry import lowers

_ERF_ENDS: Final = 6.0  # erf is 1 in float32 from 4 on
_NEXT_TO_0: Final = 1e-6


@lowers("HardSigmoid", any_layout=True)
def hard_sigmoid(op: Operation) -> None:
    """Write a HardSigmoid: a product, a sum, and a clip to 0 and 1."""
    scaled = apply(op, Op.MUL, op.input(0), op.attributes.get_float("alpha", 0.2))
    raised = apply(op, Op.ADD, scaled, op.attributes.get_float("beta", 0.5))
    op.hold(op.emit(Op.RELU_0_TO_1, [raised], raised))


@lowers("Softplus", any_layout=True)
def softplus(op: Operation) -> None:
    """Write a Softplus."""
    op.hold(_softplus(op, op.input(0)))


@lowers("Mish", any_layout=True)
def mish(op: Operation) -> None:
    """Write a Mish. Source: Misra 2019, arXiv:1908.08681."""
    x = op.input(0)
    op.hold(apply(op, Op.MUL, x, apply(op, Op.TANH, _softplus(op, x))))


@lowers("Softsign", any_layout=True)
def softsign(op: Operation) -> None:
    """Write a Softsign."""
    x = op.input(0)
    op.hold(apply(op, Op.DIV, x, apply(op, Op.ADD, apply(op, Op.ABS, x), 1.0)))


@lowers("Swish", any_layout=True)
def swish(op: Operation) -> None:
    """Write a Swish."""
    x = op.input(0)
    scaled = apply(op, Op.MUL, x, op.attributes.get_float("alpha", 1.0))
    op.hold(apply(op, Op.MUL, x, apply(op, Op.LOGISTIC, scaled)))


@lowers("Selu", any_layout=True)
def selu(op: Operation) -> None:
    """Write a Selu. Source: Klambauer et al. 2017, arXiv:1706.02515."""
    alpha = op.attributes.get_float("alpha", 1.67326319217681884765625)
    gamma = op.attributes.get_float("gamma", 1.05070102214813232421875)
    op.hold(apply(op, Op.MUL, scaled_elu(op, op.input(0), alpha), gamma))


@lowers("Celu", any_layout=True)
def celu(op: Operation) -> None:
    """Write a Celu."""
    alpha = op.attributes.get_float("alpha", 1.0)
    x = op.input(0)
    below = apply(op, Op.MUL, apply(op, Op.ELU, apply(op, Op.MUL, apply(op, Op.MINIMUM, x, 0.0), 1 / alpha)), alpha)
    op.hold(apply(op, Op.ADD, apply(op, Op.RELU, x), below))


@lowers("ThresholdedRelu", any_layout=True)
def thresholded_relu(op: Operation) -> None:
    """Write a ThresholdedRelu."""
    x = op.input(0)
    above = apply(op, Op.GREATER, x, op.attributes.get_float("alpha", 1.0))
    op.hold(apply(op, Op.SELECT_V2, above, x, apply(op, Op.MUL, x, 0.0)))


@lowers("Erf", any_layout=True)
def erf(op: Operation) -> None:
    """Write an Erf from LiteRT's exact GELU: with y = x sqrt(2), gelu(y) / y is (1 + erf(x)) / 2, but for y = 0."""
    clipped = apply(op, Op.MINIMUM, apply(op, Op.MAXIMUM, op.input(0), -_ERF_ENDS), _ERF_ENDS)
    scaled = apply(op, Op.MUL, clipped, math.sqrt(2))
    near = apply(op, Op.LESS, apply(op, Op.ABS, scaled), _NEXT_TO_0)
    y = apply(op, Op.SELECT_V2, near, _NEXT_TO_0, scaled)
    bent = op.emit(Op.GELU, [y], y, schema.GeluOptionsT(approximate=False))
    op.hold(apply(op, Op.SUB, apply(op, Op.MUL, apply(op, Op.DIV, bent, y), 2.0), 1.0))


def scaled_elu(op: Operation, x: Form, alpha: float) -> Form:
    """Write an exponential linear unit of any slope."""
    below = apply(op, Op.MUL, apply(op, Op.ELU, apply(op, Op.MINIMUM, x, 0.0)), alpha)
    return apply(op, Op.ADD, apply(op, Op.RELU, x), below)


def _softplus(op: Operation, x: Form) -> Form:
    """Write log(1 + exp(x)) so that no exponential overflows."""
    small = apply(op, Op.EXP, apply(op, Op.NEG, apply(op, Op.ABS, x)))
    return apply(op, Op.ADD, apply(op, Op.RELU, x), apply(op, Op.LOG, apply(op, Op.ADD, small, 1.0)))
