"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.layouts import reduced
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers

_CODES: Final[Mapping[str, int]] = {
    "ReduceMean": Op.MEAN,
    "ReduceSum": Op.SUM,
    "ReduceMax": Op.REDUCE_MAX,
    "ReduceMin": Op.REDUCE_MIN,
}


@lowers("ReduceMean", integer=Integer.FREE, any_layout=True)
@lowers("ReduceMax", "ReduceMin", integer=Integer.KEPT, any_layout=True)
@lowers("ReduceSum", any_layout=True)
def reduction(op: Operation) -> None:
    """Write a reduction; its axes are an attribute in older opsets, an input in later ones."""
    rank = len(op.shape(0))
    listed = op.constant(1, "its list of axes").reshape(-1) if op.has(1) else op.attributes.get_ints("axes", ())
    axes = sorted({int(axis) % rank for axis in listed})
    x = op.input(0)
    if not axes:
        if op.attributes.get_int("noop_with_empty_axes", 0):
            op.hold(x)
            return
        axes = list(range(rank))
    keeps = bool(op.attributes.get_int("keepdims", 1))
    positions = [i for i, axis in enumerate(x.layout) if axis in axes]
    if keeps:
        like = op.result(x, shape=tuple(1 if axis in axes else size for axis, size in enumerate(x.shape)))
    else:
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        like = op.result(x, shape=shape, layout=reduced(x.layout, axes))
    op.write(_CODES[op.node.op_type], [x, op.integers(positions)], like, schema.ReducerOptionsT(keepDims=keeps))
