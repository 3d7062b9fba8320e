"""Activations: what bends a value, element by element or along one axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.exporters.tflite_writer.arithmetic import apply, number
from edgeml_targets.exporters.tflite_writer.fusion import ACTIVATIONS, clip_limits
from edgeml_targets.exporters.tflite_writer.layouts import plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.operators.curves import scaled_elu
from edgeml_targets.exporters.tflite_writer.quantization import SIGMOID, TANH
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import product

_FIXED: Final[Mapping[str, tuple[int, Encoding]]] = {"Sigmoid": (Op.LOGISTIC, SIGMOID), "Tanh": (Op.TANH, TANH)}


@lowers("Relu", "Clip", integer=Integer.CLIPPED, any_layout=True)
def clip(op: Operation) -> None:
    """Write a Relu or a Clip that no operator before it could take over."""
    limits = clip_limits(op.node, op.forms.constants)
    if limits is None:
        _clip_between(op)
        return
    x = op.input(0)
    if limits in ACTIVATIONS:
        op.write(ACTIVATIONS[limits][1], [x], op.result(x))
        return
    if op.integer and op.declared is not None:
        x = op.input(
            0, encoding=op.declared
        )  # the kernels below keep the scale, and what lies outside is clipped by this
    for code, limit in ((Op.MAXIMUM, limits[0]), (Op.MINIMUM, limits[1])):
        if np.isfinite(limit) and not _saturates_at(x.encoding, limit):
            x = op.emit(code, [x, number(op, limit, x)], x, schema.MaximumMinimumOptionsT())
    op.hold(x)


@lowers("Sigmoid", "Tanh", integer=Integer.FREE, any_layout=True)
def squash(op: Operation) -> None:
    """Write a Sigmoid or Tanh, whose integer kernels insist on one output scale."""
    code, encoding = _FIXED[op.node.op_type]
    x = op.input(0)
    op.write(code, [x], op.result(x, encoding=encoding))


@lowers("HardSwish", any_layout=True)
def hard_swish(op: Operation) -> None:
    """Write a HardSwish, in float: XNNPACK has no integer one, and LiteRT's own takes 40 times as long on x86-64."""
    x = op.input(0)
    op.write(Op.HARD_SWISH, [x], op.result(x), schema.HardSwishOptionsT())


@lowers("LeakyRelu", integer=Integer.FREE, any_layout=True)
def leaky_relu(op: Operation) -> None:
    """Write a LeakyRelu."""
    x = op.input(0)
    options = schema.LeakyReluOptionsT(alpha=op.attributes.get_float("alpha", 0.01))
    op.write(Op.LEAKY_RELU, [x], op.result(x), options)


@lowers("Gelu", any_layout=True)
def gelu(op: Operation) -> None:
    """Write a Gelu, exact or by its approximation with tanh; in float, since XNNPACK has no integer one."""
    x = op.input(0)
    approximate = op.attributes.get_string("approximate", "none") == "tanh"
    op.write(Op.GELU, [x], op.result(x), schema.GeluOptionsT(approximate=approximate))


@lowers("Elu", integer=Integer.FREE, any_layout=True)
def elu(op: Operation) -> None:
    """Write an Elu; one of another slope than 1 is made of several, in float."""
    alpha = op.attributes.get_float("alpha", 1.0)
    if alpha == 1.0:
        x = op.input(0)
        op.write(Op.ELU, [x], op.result(x))
        return
    op.compute_in_float()
    op.hold(scaled_elu(op, op.input(0), alpha))


@lowers("PRelu", integer=Integer.FREE, any_layout=True)
def prelu(op: Operation) -> None:
    """Write a PRelu with a slope a channel, or of any shape that broadcasts."""
    x, slope = op.aligned()
    op.write(Op.PRELU, [x, slope], op.result(x))


@lowers("Softmax")
def softmax(op: Operation) -> None:
    """Write a Softmax, in float: XNNPACK has no integer one, and LiteRT's own takes 4.6 times as long on x86-64."""
    _along_one_axis(op, Op.SOFTMAX, schema.SoftmaxOptionsT(beta=1.0))


@lowers("LogSoftmax")
def log_softmax(op: Operation) -> None:
    """Write a LogSoftmax, in float as a Softmax."""
    _along_one_axis(op, Op.LOG_SOFTMAX, schema.LogSoftmaxOptionsT())


def _clip_between(op: Operation) -> None:
    """Write a Clip whose limits are computed."""
    op.compute_in_float()
    x = op.input(0)
    for index, code in ((1, Op.MAXIMUM), (2, Op.MINIMUM)):
        if op.has(index):
            limit = op.known(index)
            x = apply(op, code, x, op.plain(index) if limit is None else float(limit.reshape(())))
    op.hold(x)


def _along_one_axis(op: Operation, code: int, options: Any) -> None:
    """Write an operator that works along the file's last axis; before opset 13 ONNX means all axes from `axis` on."""
    rank = len(op.shape(0))
    joined = op.opset < 13
    axis = op.attributes.get_int("axis", 1 if joined else -1) % max(rank, 1)
    x = op.input(0)
    if joined and axis != rank - 1:
        flat = (product(x.shape[:axis]), product(x.shape[axis:]))
        rows = op.forms.reshape(op.plain(0), flat, plain(2))
        made = op.emit(code, [rows], op.result(rows), options)
        op.hold(op.forms.reshape(made, x.shape, plain(rank)))
        return
    if x.layout[-1] != axis:
        x = op.input(0, (*(a for a in x.layout if a != axis), axis))
    op.write(code, [x], op.result(x), options)


def _saturates_at(encoding: Encoding | None, limit: float) -> bool:
    """Tell whether the lowest or highest integer is less than a step from a limit, so that nothing lies beyond it."""
    if encoding is None:
        return False
    ends = encoding.dequantize(np.array([encoding.lowest, encoding.highest]))
    return bool((np.abs(ends - limit) < encoding.scale[0]).any())
