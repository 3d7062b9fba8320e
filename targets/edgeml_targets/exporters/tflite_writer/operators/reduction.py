"""Reductions over axes, and sums along one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import apply, reduce_
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import reduced, squeezed
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers

_CODES: Final[Mapping[str, int]] = {
    "ReduceMean": Op.MEAN,
    "ReduceSum": Op.SUM,
    "ReduceMax": Op.REDUCE_MAX,
    "ReduceMin": Op.REDUCE_MIN,
    "ReduceProd": Op.REDUCE_PROD,
}
_INT64: Final = np.dtype(np.int64)


@lowers("ReduceMean", "ReduceSum", integer=Integer.FREE, any_layout=True)
@lowers("ReduceMax", "ReduceMin", integer=Integer.KEPT, any_layout=True)
@lowers("ReduceProd", any_layout=True)
def reduction(op: Operation) -> None:
    """Write a reduction; its axes are an attribute in older opsets, an input in later ones."""
    x = op.input(0)
    axes = _axes(op)
    if not axes:
        op.hold(x)
        return
    keeps = bool(op.attributes.get_int("keepdims", 1))
    positions = [i for i, axis in enumerate(x.layout) if axis in axes]
    if keeps:
        like = op.result(x, shape=tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))
    else:
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        like = op.result(x, shape=shape, layout=reduced(x.layout, axes))
    op.write(_CODES[op.node.op_type], [x, op.integers(positions)], like, schema.ReducerOptionsT(keepDims=keeps))


@lowers("ReduceL1", any_layout=True)
def reduce_l1(op: Operation) -> None:
    """Write a sum of magnitudes."""
    op.hold(_sum(op, apply(op, Op.ABS, op.input(0))))


@lowers("ReduceL2", any_layout=True)
def reduce_l2(op: Operation) -> None:
    """Write a length."""
    x = op.input(0)
    op.hold(apply(op, Op.SQRT, _sum(op, apply(op, Op.MUL, x, x))))


@lowers("ReduceSumSquare", any_layout=True)
def reduce_sum_square(op: Operation) -> None:
    """Write a sum of squares."""
    x = op.input(0)
    op.hold(_sum(op, apply(op, Op.MUL, x, x)))


@lowers("ReduceLogSum", any_layout=True)
def reduce_log_sum(op: Operation) -> None:
    """Write the logarithm of a sum."""
    op.hold(apply(op, Op.LOG, _sum(op, op.input(0))))


@lowers("ReduceLogSumExp", any_layout=True)
def reduce_log_sum_exp(op: Operation) -> None:
    """Write the logarithm of a sum of exponentials, the largest taken out so that none overflows."""
    x, axes = op.input(0), _axes(op)
    largest = reduce_(op, Op.REDUCE_MAX, x, axes)
    rest = apply(op, Op.EXP, apply(op, Op.SUB, x, largest))
    logarithm = apply(op, Op.LOG, reduce_(op, Op.SUM, rest, axes))
    op.hold(_dropped(op, apply(op, Op.ADD, logarithm, largest), axes))


@lowers("ArgMax", "ArgMin", any_layout=True)
def extreme_index(op: Operation) -> None:
    """Write an ArgMax or ArgMin: the first index, where several are extreme."""
    if op.attributes.get_int("select_last_index", 0):
        raise Inexpressible("it asks for the last index")
    x = op.input(0)
    axis = op.attributes.get_int("axis", 0) % len(x.shape)
    largest = op.node.op_type == "ArgMax"
    options = (schema.ArgMaxOptionsT if largest else schema.ArgMinOptionsT)(outputType=schema.TensorType.INT64)
    shape = tuple(size for i, size in enumerate(x.shape) if i != axis)
    like = Form(-1, shape, reduced(x.layout, [axis]), _INT64)
    code = Op.ARG_MAX if largest else Op.ARG_MIN
    made = op.emit(code, [x, op.integers([x.layout.index(axis)])], like, options)
    if op.attributes.get_int("keepdims", 1):
        kept = tuple(1 if i == axis else size for i, size in enumerate(x.shape))
        made = op.forms.reshape(made, kept, x.layout)
    op.hold(made)


@lowers("CumSum", any_layout=True)
def cumulative_sum(op: Operation) -> None:
    """Write a CumSum."""
    x = op.input(0)
    axis = int(op.constant(1, "its axis").reshape(())) % len(x.shape)
    options = schema.CumsumOptionsT(
        exclusive=bool(op.attributes.get_int("exclusive", 0)), reverse=bool(op.attributes.get_int("reverse", 0))
    )
    op.write(Op.CUMSUM, [x, op.integers(x.layout.index(axis))], op.result(x), options)


def _axes(op: Operation) -> list[int]:
    """Return which of the model's axes a node runs over; none where it changes nothing."""
    rank = len(op.shape(0))
    given = op.constant(1, "its list of axes").reshape(-1).tolist() if op.has(1) else op.attributes.get_ints("axes", ())
    axes = sorted({int(axis) % rank for axis in given})
    nothing = bool(op.attributes.get_int("noop_with_empty_axes", 0))
    return axes if axes or nothing else list(range(rank))


def _sum(op: Operation, form: Form) -> Form:
    axes = _axes(op)
    return _dropped(op, reduce_(op, Op.SUM, form, axes), axes)


def _dropped(op: Operation, form: Form, axes: list[int]) -> Form:
    """Return a form without axes that were reduced, where the node drops them."""
    if op.attributes.get_int("keepdims", 1):
        return form
    shape = tuple(size for axis, size in enumerate(form.shape) if axis not in axes)
    return replace(form, shape=shape, layout=squeezed(form.layout, axes))
