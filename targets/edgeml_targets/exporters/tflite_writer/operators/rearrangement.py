"""Operators that move elements, or only give them other axes. Most of them write nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.elements import element_type, onnx_type
from edgeml_targets.exporters.tflite_writer.forms import FLOAT32, Form
from edgeml_targets.exporters.tflite_writer.fusion import only_reader
from edgeml_targets.exporters.tflite_writer.layouts import (
    Layout,
    file_shape,
    in_model_order,
    plain,
    regrouped,
    relabelled,
    squeezed,
    transposed,
    unsqueezed,
)
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.operators.slicing import cut
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE, Shape, product, reshaped
from edgeml_targets.exporters.tflite_writer.windows import pad


@lowers("Reshape", integer=Integer.KEPT)
def reshape(op: Operation) -> None:
    """Write a Reshape."""
    asked = [int(size) for size in op.sizes(1, "its shape").reshape(-1)]
    zero_copies = op.attributes.get_int("allowzero", 0) == 0
    shape = reshaped(op.shape(0), asked, zero_copies=zero_copies)
    _reshape(op, shape, asked if shape.count(FREE) > 1 else ())


@lowers("Flatten", integer=Integer.KEPT)
def flatten(op: Operation) -> None:
    """Write a Flatten to two axes."""
    shape = op.shape(0)
    axis = op.attributes.get_int("axis", 1)
    axis = axis % len(shape) if axis < 0 else axis
    _reshape(op, (product(shape[:axis]), product(shape[axis:])))


@lowers("Unsqueeze", integer=Integer.KEPT)
def unsqueeze(op: Operation) -> None:
    """Write an Unsqueeze."""
    axes = _axes(op, "its list of axes")
    rank = len(op.shape(0)) + len(axes)
    added = {axis % rank for axis in axes}
    sizes = iter(op.shape(0))
    shape = tuple(1 if axis in added else next(sizes) for axis in range(rank))
    x = op.input(0)
    op.hold(op.forms.reshape(x, shape, unsqueezed(x.layout, list(added))))


@lowers("Squeeze", integer=Integer.KEPT)
def squeeze(op: Operation) -> None:
    """Write a Squeeze: the file keeps the axes, the model has them no more."""
    shape = op.shape(0)
    axes = [axis % len(shape) for axis in _axes(op, "its list of axes")] or [i for i, s in enumerate(shape) if s == 1]
    if any(shape[axis] not in (1, FREE) for axis in axes):  # one that is free is 1, or the model is wrong
        raise Inexpressible(f"it drops axes {axes} of {shape}")
    x = op.input(0)
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    op.hold(replace(x, shape=kept, layout=squeezed(x.layout, axes)))


@lowers("Transpose", integer=Integer.KEPT, any_layout=True)
def transpose(op: Operation) -> None:
    """Write a Transpose: the tensor stays, its axes get other names. Whoever needs another order moves it."""
    x = op.input(0)
    order = op.attributes.get_ints("perm", tuple(reversed(range(len(x.shape)))))
    made = replace(x, shape=tuple(x.shape[axis] for axis in order), layout=transposed(x.layout, order))
    op.hold(op.forms.moved(made, plain(len(order))) if op.node in op.forms.moving else made)


@lowers("Concat", integer=Integer.FREE, any_layout=True)
def concat(op: Operation) -> None:
    """Write a Concat; integers are brought to the output's scale first, as the kernel asks."""
    rank = len(op.shape(0))
    axis = op.attributes.get_int("axis", 0) % rank
    forms = op.aligned(op.declared if op.integer else None)
    sizes = [form.shape[axis] for form in forms]
    shape = tuple(
        FREE if i == axis and FREE in sizes else sum(sizes) if i == axis else s for i, s in enumerate(forms[0].shape)
    )
    like = op.result(forms[0], shape=shape)
    op.write(Op.CONCATENATION, forms, like, schema.ConcatenationOptionsT(axis=like.layout.index(axis)))


@lowers("Pad", integer=Integer.KEPT, any_layout=True)
def padding(op: Operation) -> None:
    """Write a Pad with a constant, or by mirroring."""
    rank = len(op.shape(0))
    listed = op.constant(1, "its padding") if op.has(1) else np.array(op.attributes.get_ints("pads", ()))
    axes = [int(a) % rank for a in op.constant(3, "its list of axes")] if op.has(3) else list(range(rank))
    if listed.size != 2 * len(axes):
        raise Inexpressible(f"{listed.size} paddings for {len(axes)} axes")
    pairs = dict(zip(axes, listed.reshape(2, -1).T.tolist(), strict=True))
    mode = op.attributes.get_string("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise Inexpressible(f"its mode {mode!r} is not covered")
    if min(listed.tolist(), default=0) < 0 or mode == "edge":
        _pad_otherwise(op, pairs, mode)
        return
    filler = op.constant(2, "its filler").reshape(-1)[0] if op.has(2) else op.attributes.get_float("value", 0.0)
    x = _input_that_holds(op, float(filler)) if mode == "constant" else op.input(0)
    before_after = [(0, 0) if axis is None else tuple(pairs.get(axis, (0, 0))) for axis in x.layout]
    if mode == "constant":
        op.hold(pad(op, x, before_after, float(filler)))
        return
    shape = tuple(s if s == FREE else s + sum(pairs.get(axis, (0, 0))) for axis, s in enumerate(x.shape))
    options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.REFLECT)
    op.write(Op.MIRROR_PAD, [x, op.integers(before_after)], op.result(x, shape=shape), options)


@lowers("Identity", "Dropout", any_layout=True)
def identity(op: Operation) -> None:
    """Write an operator that changes nothing: nothing."""
    if any(value.uses() or value.is_graph_output() for value in op.node.outputs[1:]):
        raise Inexpressible("its mask is used")
    if op.has(2) and op.constant(2, "whether it trains").any():
        raise Inexpressible("it drops at random, as in training")
    _hold_as_it_is(op)


@lowers("Cast", any_layout=True)
def cast(op: Operation) -> None:
    """Write a Cast; every floating point type of the model is float32 in the file."""
    to = element_type(onnx_type(op.attributes.get_int("to", 1)), "its result")
    held = next(iter(op.forms.held(op.value(0))), None) or op.input(0)
    if to in (held.dtype, FLOAT32 if held.encoding else None):
        _hold_as_it_is(op)
        return
    x = op.forms.as_it_is(op.value(0))
    op.write(Op.CAST, [x], replace(x, dtype=to), schema.CastOptionsT())


def _pad_otherwise(op: Operation, pairs: Mapping[int, list[int]], mode: str) -> None:
    """Write a Pad that repeats what is at the edge, or one that takes elements away."""
    x = op.input(0)
    if mode == "edge":
        for axis, (before, after) in pairs.items():
            size = x.shape[axis]
            if before or after:
                if size == FREE:
                    raise Inexpressible("it repeats the edge of a size that is free")
                indexes = np.clip(np.arange(-before, size + after), 0, size - 1)
                grown = tuple(len(indexes) if i == axis else s for i, s in enumerate(x.shape))
                options = schema.GatherOptionsT(axis=x.layout.index(axis))
                x = op.emit(Op.GATHER, [x, op.integers(indexes)], replace(x, shape=grown), options)
        op.hold(x)
        return
    if any(n > 0 for pair in pairs.values() for n in pair):
        raise Inexpressible("it takes away and adds at once")
    op.hold(cut(op, x, {axis: (-before, -after) for axis, (before, after) in pairs.items()}))


def _hold_as_it_is(op: Operation) -> None:
    if op.value(0) in op.forms.sizes:
        op.hold(op.input(0))
    else:
        op.forms.alias(op.node.outputs[0], op.value(0))


def _input_that_holds(op: Operation, number: float) -> Form:
    """Return the input in an encoding that has a number in its range: its own, or the output's, or else in float."""
    for encoding in (None, op.declared):
        x = op.input(0, encoding=encoding)
        if x.encoding is None:
            return x
        held = float(x.encoding.dequantize(x.encoding.quantize(np.array(number))))
        if abs(held - number) <= x.encoding.scale[0]:
            return x
    op.compute_in_float()
    return op.input(0)


def _reshape(op: Operation, shape: Shape, asked: Sequence[int] = ()) -> None:
    """Give the output the same elements with other axes, at the least cost.

    Args:
        op: The node.
        shape: Of the output.
        asked: What the node asks for, where more than one size is free: 0 for the input's own, -1 for what is left.
    """
    if (grouped := op.forms.grouped.get(op.value(0))) is not None:
        _hold_ungrouped(op, grouped[0], shape)
        return
    x = op.input(0)
    layout = relabelled(x.shape, x.layout, shape)
    if layout is not None:
        op.hold(replace(x, shape=shape, layout=layout))
        return
    if not in_model_order(x.shape, x.layout):
        if _columns_may_move(op, x, shape):
            op.forms.columns[op.fused.output] = _column_order(x)
            bare = replace(x, shape=file_shape(x.shape, x.layout), layout=plain(len(x.layout)))
            op.hold(op.forms.reshape(bare, shape, plain(2)))
            return
        if _is_grouping(op, x, shape):
            op.forms.grouped[op.fused.output] = x, shape
            return
        layout = regrouped(x.shape, x.layout, shape, list(asked).index(-1) if -1 in asked else None)
    if layout is None:
        x, layout = op.in_model_order(0), plain(len(shape))
    op.hold(op.forms.reshape(x, shape, layout, _asked_sizes(op, x, layout, asked) if asked else None))


def _is_grouping(op: Operation, x: Form, shape: Shape) -> bool:
    """Tell whether a reshape makes groups of an image's channels for an InstanceNormalization, and another ungroups them."""
    if len(shape) != 3 or len(x.shape) < 3 or FREE in (x.shape[1], shape[1]) or shape[0] != x.shape[0]:
        return False
    reader = only_reader(op.fused.output)
    if op.integer or reader is None or reader.op_type != "InstanceNormalization" or x.shape[1] % shape[1]:
        return False
    after = only_reader(reader.outputs[0])
    return after is not None and after.op_type == "Reshape" and after.inputs[0] is reader.outputs[0]


def _hold_ungrouped(op: Operation, x: Form, shape: Shape) -> None:
    """Let an image whose channels were grouped be what a Reshape makes of it: itself, or the same in another shape."""
    if shape == x.shape:
        op.hold(x)
    else:
        rank = len(x.shape)
        op.hold(op.forms.reshape(op.forms.moved(x, plain(rank)), shape, plain(len(shape))))


def _asked_sizes(op: Operation, x: Form, layout: Layout, asked: Sequence[int]) -> int:
    """Return the tensor of a Reshape's sizes in the file's order.

    A size is the input's own (0), what is left (-1), known, or as the model computes it; one that is computed is what is
    left, where no other is.
    """
    if list(asked).count(FREE_SIZE) + list(asked).count(-1) == 1:
        asked = [-1 if n == FREE_SIZE else n for n in asked]
    in_file = [
        1 if axis is None else (x.layout.index(axis), 1, 0) if asked[axis] == 0 else asked[axis] for axis in layout
    ]
    if FREE_SIZE not in asked:
        return op.forms.size_vector(x, in_file)
    if 0 in asked:
        raise Inexpressible("its shape mixes computed sizes with the input's own")
    computed = op.forms.as_it_is(op.value(1))
    if layout != plain(len(asked)):
        order = [axis for axis in layout if axis is not None]
        computed = op.emit(Op.GATHER, [computed, op.integers(order)], computed, schema.GatherOptionsT(axis=0))
    return op.emit(Op.CAST, [computed], replace(computed, dtype=np.dtype(np.int32)), schema.CastOptionsT()).tensor


def _columns_may_move(op: Operation, x: Form, shape: Shape) -> bool:
    """Tell whether the output is rows whose only reader is a dense layer: its weights can follow any order of columns."""
    reader = only_reader(op.fused.output)
    if reader is None or reader.op_type not in ("Gemm", "MatMul") or reader.attributes.get_int("transA") == 1:
        return False
    rows = len(shape) == 2 and shape[0] == x.shape[0] and x.layout[0] == 0 and FREE not in x.shape[1:]
    weight = reader.inputs[1]
    known = op.forms.constants.get(weight) if weight is not None else None
    return rows and reader.inputs[0] is op.fused.output and known is not None and known.ndim == 2


def _column_order(x: Form) -> np.typing.NDArray[np.intp]:
    """Return which of the model's columns stands at each of the file's."""
    numbers = np.arange(product(x.shape[1:])).reshape(1, *x.shape[1:])
    return numbers.transpose([axis for axis in x.layout if axis is not None]).reshape(-1)


def _axes(op: Operation, what: str) -> list[int]:
    if op.has(1):
        return [int(axis) for axis in op.constant(1, what).reshape(-1)]
    return list(op.attributes.get_ints("axes", ()))
