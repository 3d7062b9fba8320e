"""Transposed convolutions over one or two spatial axes.

LiteRT's kernel knows no dilation and no groups: zeros between the weights, and between the groups, say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.operators.slicing import cut
from edgeml_targets.exporters.tflite_writer.quantization import Array, Kernel
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE
from edgeml_targets.exporters.tflite_writer.windows import SAME, VALID


@dataclass(frozen=True)
class _Side:
    """A transposed window along one axis: `before` and `after` are cut off what it makes, or padded where negative."""

    size: int
    extent: int
    stride: int
    before: int
    after: int

    @property
    def whole(self) -> int:
        """How many elements there are before any is cut off."""
        return FREE if self.size == FREE else (self.size - 1) * self.stride + self.extent

    @property
    def made(self) -> int:
        """How many elements the output has."""
        return FREE if self.size == FREE else self.whole - self.before - self.after

    @property
    def as_same(self) -> bool:
        """Whether LiteRT's SAME cuts off the same: the output is `size` strides long, the odd element goes at the end."""
        cut_off = self.extent - self.stride
        return cut_off >= 0 and self.before + self.after == cut_off and self.before == cut_off // 2


@lowers("ConvTranspose", integer=Integer.FREE, weight=1, activates=True)
def transposed_convolution(op: Operation) -> None:
    """Write a ConvTranspose; weights are (inputs, outputs a group, ...)."""
    shape, array = op.shape(0), op.constant(1, "its weight")
    groups = op.attributes.get_int("group", 1)
    if array.ndim != len(shape) or array.shape[0] != shape[1] or array.shape[0] % groups:
        raise Inexpressible(f"weights of {array.shape} in {groups} groups do not fit an input of {shape}")
    rank = array.ndim - 2
    array = _dilated(_ungrouped(array, groups), op.attributes.get_ints("dilations", [1] * rank))
    channels = array.shape[1]
    sides = _sides(op, shape[2:], array.shape[2:])
    x = op.channels_last(0)
    bias = op.constant(2, "its bias") if op.has(2) else np.zeros(channels, np.float32)
    kernel = Kernel(op.value(1), array, channel_axis=1, arrange=_outputs_first, file_axis=0)
    weight, summand = op.weights(x, kernel, bias)
    flat = [_Side(1, 1, 1, 0, 0), *sides][-2:]
    same = all(side.as_same for side in flat)
    made = [side.made if same else side.whole for side in flat]
    like = op.result(x, shape=(shape[0], channels, *made[-rank:]))
    grown = [(side.stride, 0 if same else side.extent - side.stride) for side in flat]
    sizes = op.forms.size_vector(x, [(0, 1, 0), (1, *grown[0]), (2, *grown[1]), channels])
    options = schema.TransposeConvOptionsT(
        padding=SAME if same else VALID, strideH=flat[0].stride, strideW=flat[1].stride
    )
    inputs: list[Form | int] = [sizes, weight, x, summand]
    if same or not any(side.before or side.after for side in sides):
        op.write(Op.TRANSPOSE_CONV, inputs, like, options)
        return
    whole = op.clipped(Op.TRANSPOSE_CONV, inputs, like, options)
    op.hold(cut(op, whole, {2 + i: (side.before, side.after) for i, side in enumerate(sides)}))


def _sides(op: Operation, sizes: Sequence[int], extents: Sequence[int]) -> list[_Side]:
    rank = len(sizes)
    strides = op.attributes.get_ints("strides", [1] * rank)
    extra = op.attributes.get_ints("output_padding", [0] * rank)
    pads = op.attributes.get_ints("pads", [0] * 2 * rank)
    asked = op.attributes.get_ints("output_shape", ())
    auto_pad = op.attributes.get_string("auto_pad", "NOTSET")
    made = []
    for i in range(rank):
        side = _Side(sizes[i], extents[i], strides[i], pads[i], pads[rank + i] - extra[i])
        if asked or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            if sizes[i] == FREE:
                raise Inexpressible("its padding depends on a size that is free")
            total = side.whole + extra[i] - (asked[-rank:][i] if asked else sizes[i] * strides[i])
            less = total // 2
            before = total - less if auto_pad == "SAME_LOWER" else less
            side = replace(side, before=before, after=total - before - extra[i])
        elif auto_pad == "VALID":
            side = replace(side, before=0, after=-extra[i])
        if side.after < 0 or side.before < 0:
            raise Inexpressible("its output is padded beyond what the windows reach")
        made.append(side)
    return made


def _ungrouped(array: Array, groups: int) -> Array:
    """Return weights (inputs, outputs a group, ...) as (inputs, outputs, ...) with zeros between the groups."""
    if groups == 1:
        return array
    inputs, outputs = array.shape[0] // groups, array.shape[1]
    whole = np.zeros((array.shape[0], outputs * groups, *array.shape[2:]), array.dtype)
    for group in range(groups):
        rows = slice(group * inputs, (group + 1) * inputs)
        whole[rows, group * outputs : (group + 1) * outputs] = array[rows]
    return whole


def _dilated(array: Array, dilations: Sequence[int]) -> Array:
    """Return weights with zeros between them."""
    if all(step == 1 for step in dilations):
        return array
    extents = [(size - 1) * step + 1 for size, step in zip(array.shape[2:], dilations, strict=True)]
    whole = np.zeros((*array.shape[:2], *extents), array.dtype)
    whole[(slice(None), slice(None), *(slice(None, None, step) for step in dilations))] = array
    return whole


def _outputs_first(weight: Array) -> Array:
    flat = weight if weight.ndim == 4 else weight[:, :, None, :]
    return np.ascontiguousarray(flat.transpose(1, 2, 3, 0))
