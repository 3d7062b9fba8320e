"""Convolutions: ordinary, grouped and depthwise, over one or two spatial axes."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.quantization import Array, Kernel
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE
from edgeml_targets.exporters.tflite_writer.windows import place, window_of


@lowers("Conv", integer=Integer.FREE, weight=1, activates=True)
def convolution(op: Operation) -> None:
    """Write a Conv; one whose groups have a single channel becomes LiteRT's depthwise kernel."""
    shape, array = op.shape(0), op.constant(1, "its weight")
    channels, groups = array.shape[0], op.attributes.get_int("group", 1)
    if array.ndim != len(shape) or shape[1] == FREE or shape[1] != array.shape[1] * groups or channels % groups:
        raise Inexpressible(f"weights of {array.shape} in {groups} groups do not fit an input of {shape}")
    window = window_of(op, shape, array.shape[2:])
    bias = op.constant(2, "its bias") if op.has(2) else np.zeros(channels, np.float32)
    x, padding = place(op, op.channels_last(0), window)
    depthwise = groups > 1 and array.shape[1] == 1
    kernel = Kernel(
        op.value(1),
        array,
        channel_axis=0,
        arrange=_depth_last if depthwise else _inputs_last,
        file_axis=3 if depthwise else 0,
    )
    weight, summand = op.weights(x, kernel, bias)
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    if depthwise:
        options.depthMultiplier = channels // groups
    options.padding = padding
    options.strideH, options.strideW = window.height.stride, window.width.stride
    options.dilationHFactor, options.dilationWFactor = window.height.dilation, window.width.dilation
    spatial = window.counts if len(shape) == 4 else window.counts[1:]
    like = op.result(x, shape=(shape[0], channels, *spatial))
    op.write(Op.DEPTHWISE_CONV_2D if depthwise else Op.CONV_2D, [x, weight, summand], like, options)


def _in_the_plane(weight: Array) -> Array:
    """Return weights (outputs, inputs, ...) with two spatial axes."""
    return weight if weight.ndim == 4 else weight[:, :, None, :]


def _inputs_last(weight: Array) -> Array:
    return np.ascontiguousarray(_in_the_plane(weight).transpose(0, 2, 3, 1))


def _depth_last(weight: Array) -> Array:
    return np.ascontiguousarray(_in_the_plane(weight).transpose(1, 2, 3, 0))
