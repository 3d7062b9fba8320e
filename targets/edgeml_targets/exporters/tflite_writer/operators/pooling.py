"""Pooling over windows and over everything."""

from __future__ import annotations

import itertools

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.exporters.tflite_writer.arithmetic import apply, reduce_
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.fusion import ACTIVATIONS
from edgeml_targets.exporters.tflite_writer.layouts import CHANNELS_LAST
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.operators.slicing import Part, take
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, Shape
from edgeml_targets.exporters.tflite_writer.windows import VALID, Window, place, window_of


@lowers("MaxPool", integer=Integer.KEPT, activates=True)
def max_pool(op: Operation) -> None:
    """Write a MaxPool; padding that LiteRT cannot express is filled with the lowest number there is."""
    if any(value.uses() or value.is_graph_output() for value in op.node.outputs[1:]):
        raise Inexpressible("its output of indices is used")
    window = _window(op)
    x = op.channels_last(0)
    lowest = float(np.finfo(np.float32).min)
    if window.dilated:
        _dilated_max_pool(op, place(op, x, window, lowest)[0], window)
        return
    fits = all(side.as_same for side in (window.height, window.width))
    x, padding = place(op, x, window, None if fits else lowest)
    op.write(Op.MAX_POOL_2D, [x], op.result(x, shape=_pooled(op, window)), _options(window, padding))


@lowers("AveragePool", integer=Integer.CLIPPED, activates=True)
def average_pool(op: Operation) -> None:
    """Write an AveragePool.

    LiteRT's kernel leaves padding out of the average. Where ONNX counts it, or the windows reach over an edge in another
    way, zeros are padded and each window's average is corrected by how many elements it should have been divided by.
    """
    window = _window(op)
    if window.dilated:
        raise Inexpressible("averages with dilation")
    sides = (window.height, window.width)
    counts_padding = bool(op.attributes.get_int("count_include_pad", 0))
    if not counts_padding and all(side.as_same for side in sides):
        if op.declared is not None and _reaches_outside(window):
            op.compute_in_float()  # the kernel keeps its input's steps, which are coarse for averages
        _average(op, *place(op, op.channels_last(0), window), window)
        return
    if any(side.size == FREE and (side.before or side.after) for side in sides):
        raise Inexpressible("averages at the edge of a size that is free")
    full = window.height.kernel * window.width.kernel
    down, across = (side.divisors(padding_counts=counts_padding) for side in sides)
    divisors = np.outer(down, across)
    if (divisors == full).all():
        _average(op, *place(op, op.channels_last(0), window, filler=0.0), window)
        return
    op.compute_in_float()
    x, padding = place(op, op.channels_last(0), window, filler=0.0)
    like = op.result(x, shape=_pooled(op, window))
    averages = op.emit(Op.AVERAGE_POOL_2D, [x], like, _options(window, padding))
    correction = op.forms.file.constant((full / divisors).astype(np.float32)[None, :, :, None])
    op.write(Op.MUL, [averages, correction], like, schema.MulOptionsT())


@lowers("GlobalAveragePool", integer=Integer.FREE, activates=True)
def global_average_pool(op: Operation) -> None:
    """Write a GlobalAveragePool as a MEAN, which has an output scale of its own."""
    _over_everything(op, Op.MEAN)


@lowers("GlobalMaxPool", integer=Integer.KEPT, activates=True)
def global_max_pool(op: Operation) -> None:
    """Write a GlobalMaxPool."""
    _over_everything(op, Op.REDUCE_MAX)


@lowers("LpPool")
def lp_pool(op: Operation) -> None:
    """Write an LpPool: the root of a window's sum of powers, by an average and a factor."""
    window = _window(op)
    if window.dilated:
        raise Inexpressible("pooling with dilation")
    power = float(op.attributes.get_int("p", 2))
    x, padding = place(op, op.channels_last(0), window, filler=0.0)
    like = op.result(x, shape=_pooled(op, window))
    averages = op.emit(Op.AVERAGE_POOL_2D, [_powers(op, x, power)], like, _options(window, padding))
    total = apply(op, Op.MUL, averages, float(window.height.kernel * window.width.kernel))
    op.hold(apply(op, Op.POW, total, 1 / power))


@lowers("GlobalLpPool")
def global_lp_pool(op: Operation) -> None:
    """Write a GlobalLpPool."""
    power = float(op.attributes.get_int("p", 2))
    x = op.input(0)
    total = reduce_(op, Op.SUM, _powers(op, x, power), range(2, len(x.shape)))
    op.hold(apply(op, Op.POW, total, 1 / power))


def _powers(op: Operation, x: Form, power: float) -> Form:
    return apply(op, Op.MUL, x, x) if power == 2.0 else apply(op, Op.POW, apply(op, Op.ABS, x), power)


def _dilated_max_pool(op: Operation, x: Form, window: Window) -> None:
    """Write a MaxPool with dilation as the largest of what each place of the window sees; `x` is padded."""
    if FREE in window.counts:
        raise Inexpressible("pooling with dilation over a size that is free")
    sides = {x.layout[1]: window.height, x.layout[2]: window.width}
    largest: Form | None = None
    for place_ in itertools.product(*(range(side.kernel) for side in sides.values())):
        parts = {}
        for (axis, side), i in zip(sides.items(), place_, strict=True):
            if axis is not None:
                first = i * side.dilation
                parts[axis] = Part(first, first + (side.count - 1) * side.stride + 1, side.stride)
        seen = take(op, x, parts)
        largest = (
            seen if largest is None else op.emit(Op.MAXIMUM, [largest, seen], seen, schema.MaximumMinimumOptionsT())
        )
    assert largest is not None
    op.hold(largest if op.fused.limits is None else op.emit(ACTIVATIONS[op.fused.limits][1], [largest], largest))


def _over_everything(op: Operation, code: int) -> None:
    x = op.input(0)
    axes = [i for i, axis in enumerate(x.layout) if axis is not None and axis >= 2]
    shape = (*x.shape[:2], *[1] * (len(x.shape) - 2))
    op.write(code, [x, op.integers(axes)], op.result(x, shape=shape), schema.ReducerOptionsT(keepDims=True))


def _average(op: Operation, x: Form, padding: int, window: Window) -> None:
    """Write averages of windows that hold no padding, or of what of them LiteRT's SAME leaves."""
    like = op.result(x, shape=_pooled(op, window))
    if like.encoding != x.encoding:
        _average_by_convolution(op, x, window, like)
        return
    op.write(Op.AVERAGE_POOL_2D, [x], like, _options(window, padding))


def _average_by_convolution(op: Operation, x: Form, window: Window, like: Form) -> None:
    """Write averages as a depthwise convolution: LiteRT's pooling cannot change the scale, and would round twice."""
    size = window.height.kernel * window.width.kernel
    weight = np.full((1, window.height.kernel, window.width.kernel, x.shape[1]), 127, np.int8)
    encoding = Encoding(scale=(1 / (127 * size),), zero_point=(0,))
    assert x.encoding is not None
    bias = Encoding(scale=(x.encoding.scale[0] * encoding.scale[0],), zero_point=(0,))
    inputs: list[Form | int] = [
        x,
        op.forms.file.constant(weight, encoding=encoding),
        op.forms.file.constant(np.zeros(x.shape[1], np.int32), encoding=bias),
    ]
    options = schema.DepthwiseConv2DOptionsT(
        padding=VALID, strideH=window.height.stride, strideW=window.width.stride, depthMultiplier=1
    )
    op.write(Op.DEPTHWISE_CONV_2D, inputs, like, options)


def _window(op: Operation) -> Window:
    shape = op.shape(0)
    if len(shape) not in CHANNELS_LAST:
        raise Inexpressible(f"its input has {len(shape)} axes, 3 or 4 are covered")
    return window_of(op, shape, op.attributes.get_ints("kernel_shape", ()))


def _reaches_outside(window: Window) -> bool:
    return any(side.before or side.needed_after for side in (window.height, window.width))


def _pooled(op: Operation, window: Window) -> Shape:
    shape = op.shape(0)
    return (*shape[:2], *(window.counts if len(shape) == 4 else window.counts[1:]))


def _options(window: Window, padding: int) -> schema.Pool2DOptionsT:
    return schema.Pool2DOptionsT(
        padding=padding,
        strideH=window.height.stride,
        strideW=window.width.stride,
        filterHeight=window.height.kernel,
        filterWidth=window.width.kernel,
    )
