"""Float operators of one step, for what is made of several: each returns a new form in the layout of what it is given.

A number among the operands becomes a constant that broadcasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.shapes import Shape, broadcast

BOOL: Final = np.dtype(np.bool_)
OPTIONS: Final[dict[int, Any]] = {
    Op.ADD: schema.AddOptionsT,
    Op.SUB: schema.SubOptionsT,
    Op.MUL: schema.MulOptionsT,
    Op.DIV: schema.DivOptionsT,
    Op.POW: schema.PowOptionsT,
    Op.MAXIMUM: schema.MaximumMinimumOptionsT,
    Op.MINIMUM: schema.MaximumMinimumOptionsT,
    Op.FLOOR_DIV: schema.FloorDivOptionsT,
    Op.FLOOR_MOD: schema.FloorModOptionsT,
    Op.EQUAL: schema.EqualOptionsT,
    Op.NOT_EQUAL: schema.NotEqualOptionsT,
    Op.LESS: schema.LessOptionsT,
    Op.LESS_EQUAL: schema.LessEqualOptionsT,
    Op.GREATER: schema.GreaterOptionsT,
    Op.GREATER_EQUAL: schema.GreaterEqualOptionsT,
    Op.LOGICAL_AND: schema.LogicalAndOptionsT,
    Op.LOGICAL_OR: schema.LogicalOrOptionsT,
    Op.LOGICAL_NOT: schema.LogicalNotOptionsT,
    Op.SELECT_V2: schema.SelectV2OptionsT,
    Op.EXP: schema.ExpOptionsT,
    Op.ABS: schema.AbsOptionsT,
    Op.NEG: schema.NegOptionsT,
    Op.SIGN: schema.SignOptionsT,
    Op.GELU: schema.GeluOptionsT,
}
"""The schema's options of operators that have none to choose; an operator that is not listed takes no options at all."""
COMPARISONS: Final = frozenset({Op.EQUAL, Op.NOT_EQUAL, Op.LESS, Op.LESS_EQUAL, Op.GREATER, Op.GREATER_EQUAL})


def options_of(code: int) -> Any:
    """Return a fresh object of an operator's options, `None` where it takes none."""
    made = OPTIONS.get(code)
    return None if made is None else made()


def apply(op: Operation, code: int, *operands: Form | float) -> Form:
    """Write an operator element by element over forms of one layout, and numbers.

    Args:
        op: The node that is being written.
        code: LiteRT's operator.
        operands: At least one form among them; sizes broadcast.
    """
    forms = [operand for operand in operands if isinstance(operand, Form)]
    widest = max(forms, key=lambda form: len(form.shape))
    shape: Shape = widest.shape
    for form in forms:
        shape = broadcast(shape, form.shape)
    dtype = BOOL if code in COMPARISONS else forms[-1].dtype
    inputs = [operand if isinstance(operand, Form) else number(op, operand, forms[-1]) for operand in operands]
    return op.emit(code, inputs, replace(widest, shape=shape, dtype=dtype, encoding=None), options_of(code))


def number(op: Operation, value: float, like: Form) -> Form:
    """Store a number that broadcasts with a form, in its element type and encoding."""
    rank = len(like.shape)
    return op.operand(
        np.full((1,) * rank, value, like.dtype if like.encoding is None else np.float32), plain(rank), like.encoding
    )


def along(op: Operation, vector: Any, axis: int, like: Form) -> Form:
    """Store a vector, float32, that broadcasts with a form along one of the model's axes."""
    shape = [1] * len(like.shape)
    shape[axis] = vector.size
    return op.operand(vector.astype(np.float32).reshape(shape), like.layout)


def reduce_(op: Operation, code: int, form: Form, axes: Sequence[int]) -> Form:
    """Write a reduction that keeps the axes it runs over (of the model's), with size 1."""
    positions = op.integers([i for i, axis in enumerate(form.layout) if axis in axes])
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(form.shape))
    return op.emit(code, [form, positions], replace(form, shape=shape), schema.ReducerOptionsT(keepDims=True))
