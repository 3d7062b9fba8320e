"""Operators that ask for sizes, make tensors of a size, or bring one to a size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.flatbuffer import ELEMENT_TYPES
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE, Shape, broadcast

_INT64 = np.dtype(np.int64)


@lowers("Shape")
def shape_(op: Operation) -> None:
    """Write a Shape, which is asked for only where a size is free."""
    x = op.input(0)
    axes = range(len(x.shape))[op.attributes.get_int("start", 0) : op.attributes.get_int("end", len(x.shape))]
    op.hold(_sizes_of(op, x, [x.layout.index(axis) for axis in axes]))


@lowers("Size")
def size(op: Operation) -> None:
    """Write a Size."""
    x = op.input(0)
    whole = _sizes_of(op, x, list(range(len(x.layout))))
    options = schema.ReducerOptionsT(keepDims=False)
    op.write(Op.REDUCE_PROD, [whole, op.integers([0])], replace(whole, shape=(), layout=()), options)


@lowers("ConstantOfShape")
def constant_of_shape(op: Operation) -> None:
    """Write a ConstantOfShape of which a size is free."""
    asked = op.sizes(0, "its shape")
    tensor = op.attributes.get_tensor("value")
    filler = np.zeros(1, np.float32) if tensor is None else tensor.numpy()
    shape = tuple(FREE if n == FREE_SIZE else int(n) for n in asked)
    like = Form(-1, shape, plain(len(shape)), filler.dtype)
    value = op.forms.file.constant(filler.reshape(()))
    op.write(Op.FILL, [op.forms.as_it_is(op.value(0)), value], like, schema.FillOptionsT())


@lowers("Range")
def range_(op: Operation) -> None:
    """Write a Range of whole numbers whose end is a size that is free."""
    bounds = [op.sizes(i, "its bounds") for i in range(3)]
    if any(bound.dtype != _INT64 for bound in bounds):
        raise Inexpressible("its bounds are computed")
    forms = [op.input(i) for i in range(3)]
    op.write(Op.RANGE, forms, Form(-1, (FREE,), (0,), _INT64), schema.RangeOptionsT())


@lowers("Expand", integer=Integer.KEPT, any_layout=True)
def expand(op: Operation) -> None:
    """Write an Expand."""
    asked = tuple(FREE if n == FREE_SIZE else int(n) for n in op.sizes(1, "its shape").reshape(-1))
    rank = max(len(asked), len(op.shape(0)))
    x = op.lifted(0, rank)
    asked = (1,) * (rank - len(asked)) + asked
    shape = broadcast(x.shape, asked)
    if shape == x.shape:
        op.hold(x)
        return
    op.write(
        Op.BROADCAST_TO, [x, _expanded_sizes(op, x, asked)], op.result(x, shape=shape), schema.BroadcastToOptionsT()
    )


@lowers("Tile", integer=Integer.KEPT, any_layout=True)
def tile(op: Operation) -> None:
    """Write a Tile with constant repeats."""
    repeats = [int(n) for n in op.constant(1, "its list of repeats").reshape(-1)]
    x = op.input(0)
    shape = tuple(s if s == FREE else s * n for s, n in zip(x.shape, repeats, strict=True))
    in_file = [1 if axis is None else repeats[axis] for axis in x.layout]
    op.write(Op.TILE, [x, op.integers(in_file)], op.result(x, shape=shape), schema.TileOptionsT())


@lowers("OneHot")
def one_hot(op: Operation) -> None:
    """Write a OneHot."""
    depth, values = int(op.constant(1, "its depth").reshape(())), op.constant(2, "its pair of values")
    x = op.plain(0)
    rank = len(x.shape) + 1
    axis = op.attributes.get_int("axis", -1) % rank
    shape = (*x.shape[:axis], depth, *x.shape[axis:])
    numbers = [op.integers(depth), *(op.forms.file.constant(value.reshape(())) for value in values[::-1])]
    like = Form(-1, shape, plain(rank), values.dtype)
    op.write(Op.ONE_HOT, [x, *numbers], like, schema.OneHotOptionsT(axis=axis))


def _sizes_of(op: Operation, x: Form, positions: list[int]) -> Form:
    """Write the sizes of some of the file's axes, int64."""
    vector = Form(-1, (len(x.layout),), (0,), _INT64)
    whole = op.emit(Op.SHAPE, [x], vector, schema.ShapeOptionsT(outType=ELEMENT_TYPES[_INT64]))
    if positions == list(range(len(x.layout))):
        return whole
    picked = replace(vector, shape=(len(positions),))
    return op.emit(Op.GATHER, [whole, op.integers(positions)], picked, schema.GatherOptionsT(axis=0))


def _expanded_sizes(op: Operation, x: Form, asked: Shape) -> Form | int:
    """Return the tensor of an Expand's sizes in the file's order; `asked` has as many sizes as `x`."""
    entries: list[tuple[int, int, int] | int] = []
    for position, axis in enumerate(x.layout):
        if axis is None:
            entries.append(1)
        elif asked[axis] == FREE and x.shape[axis] == 1:
            return _computed_sizes(op, x)
        else:
            own = asked[axis] == 1 or x.shape[axis] != 1
            entries.append((position, 1, 0) if own else asked[axis])
    return op.forms.size_vector(x, entries)


def _computed_sizes(op: Operation, x: Form) -> Form:
    """Write the sizes as the model computes them, where a size that is 1 is brought to one that is free."""
    if x.layout != plain(len(x.shape)):
        raise Inexpressible("an image with channels last is brought to a size that is free")
    own = _sizes_of(op, x, list(range(len(x.layout))))
    return op.emit(Op.BROADCAST_ARGS, [own, op.forms.as_it_is(op.value(1))], own)
