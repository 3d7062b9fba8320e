"""Windows that slide over one or two spatial axes, and how their padding is expressed.

LiteRT pads by SAME (as little as gives ceil(size / stride) windows, the odd one at the end) or not at all. ONNX gives
paddings in numbers. Where the two differ, a PAD goes in front: else a stride of 2 sees the image shifted by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.shapes import FREE, Shape, window_count

SAME: Final = int(schema.Padding.SAME)
VALID: Final = int(schema.Padding.VALID)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Side:
    """A window along one axis.

    Args:
        size: Of the input along the axis, or FREE.
        kernel, stride, dilation: Of the window, in elements.
        before, after: Padding.
        count: How many windows there are, or FREE.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    count: int

    @property
    def extent(self) -> int:
        """How many elements the window spans."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def as_same(self) -> bool:
        """Whether LiteRT's SAME places every window where this one is."""
        if self.size == FREE:
            return (
                self.stride == 1
                and self.before + self.after == self.extent - 1
                and self.before == (self.extent - 1) // 2
            )
        count = -(-self.size // self.stride)
        total = max((count - 1) * self.stride + self.extent - self.size, 0)
        return self.count == count and self.before == total // 2

    @property
    def needed_after(self) -> int:
        """How much of the padding at the end a window reaches."""
        if self.size == FREE:
            return self.after
        return max((self.count - 1) * self.stride + self.extent - self.size - self.before, 0)

    def divisors(self, *, padding_counts: bool) -> list[int]:
        """Return, for each window, how many elements an average over it is divided by."""
        low, high = (-self.before, self.size + self.after) if padding_counts else (0, self.size)
        starts = (i * self.stride - self.before for i in range(self.count))
        return [sum(low <= s + j * self.dilation < high for j in range(self.kernel)) for s in starts]


@dataclass(frozen=True)
class Window:
    """A window along height and width; a signal has height 1."""

    height: Side
    width: Side

    @property
    def dilated(self) -> bool:
        """Whether it leaves elements out."""
        return (self.height.dilation, self.width.dilation) != (1, 1)

    @property
    def counts(self) -> Pair:
        """How many windows there are along each axis."""
        return self.height.count, self.width.count


def window_of(op: Operation, shape: Shape, kernel: Sequence[int]) -> Window:
    """Return the window that a node's attributes describe.

    Args:
        op: The node.
        shape: Of its input in the model's order, (batch, channels, one or two spatial axes).
        kernel: The window's size, as many entries as spatial axes.

    Raises:
        Inexpressible: The attributes contradict each other or the shape.
    """
    rank = len(kernel)
    if rank != len(shape) - 2:
        raise Inexpressible(f"a window of {rank} axes over an input of {len(shape)}")
    strides = op.attributes.get_ints("strides", [1] * rank)
    dilations = op.attributes.get_ints("dilations", [1] * rank)
    pads = op.attributes.get_ints("pads", [0] * 2 * rank)
    if (
        not len(strides) == len(dilations) == rank == len(pads) / 2
        or min([*strides, *dilations, *kernel]) < 1
        or min(pads) < 0
    ):
        raise Inexpressible("its strides, dilations or pads do not fit its kernel")
    auto_pad = op.attributes.get_string("auto_pad", "NOTSET")
    rounding_up = bool(op.attributes.get_int("ceil_mode", 0))
    sides = []
    for i in range(rank):
        side = Side(shape[2 + i], kernel[i], strides[i], dilations[i], pads[i], pads[rank + i], FREE)
        sides.append(_counted(_padded_by_name(side, auto_pad), rounding_up=rounding_up))
    return Window(*sides) if rank == 2 else Window(Side(1, 1, 1, 1, 0, 0, 1), sides[0])


def place(op: Operation, form: Form, window: Window, filler: float | None = None) -> tuple[Form, int]:
    """Return the input with the padding that LiteRT cannot express, and SAME or VALID for the rest.

    Args:
        op: The node.
        form: Its input with channels last.
        window: What slides over it.
        filler: What stands in the padding, `None` where SAME means the same.
    """
    sides = (window.height, window.width)
    if not any(side.before or side.needed_after for side in sides):
        return form, VALID
    if filler is None and all(side.as_same for side in sides):
        return form, SAME
    paddings = [(0, 0), *((side.before, side.needed_after) for side in sides), (0, 0)]
    return pad(op, form, paddings, 0.0 if filler is None else filler), VALID


def pad(op: Operation, form: Form, paddings: Sequence[Pair], filler: float = 0.0) -> Form:
    """Write a PAD: `paddings` has a pair for each of the file's axes."""
    shape = list(form.shape)
    for axis, (before, after) in zip(form.layout, paddings, strict=True):
        if axis is not None and shape[axis] != FREE:
            shape[axis] += before + after
    like = replace(form, shape=tuple(shape))
    numbers = op.integers(paddings)
    if filler == 0.0:
        return op.emit(Op.PAD, [form, numbers], like, schema.PadOptionsT())
    if form.encoding is None:
        value = op.forms.file.constant(np.array(filler, form.dtype))
    else:
        value = op.forms.file.constant(form.encoding.quantize(np.array(filler)).astype(np.int8), encoding=form.encoding)
    return op.emit(Op.PADV2, [form, numbers, value], like, schema.PadV2OptionsT())


def _padded_by_name(side: Side, auto_pad: str) -> Side:
    if auto_pad in ("NOTSET", ""):
        return side
    if auto_pad == "VALID":
        return replace(side, before=0, after=0)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise Inexpressible(f"its padding {auto_pad!r} is unknown")
    if side.size == FREE and side.stride > 1:
        raise Inexpressible("its padding depends on a size that is free")
    count = -(-side.size // side.stride)
    total = side.extent - 1 if side.size == FREE else max((count - 1) * side.stride + side.extent - side.size, 0)
    less, more = total // 2, total - total // 2
    return (
        replace(side, before=less, after=more) if auto_pad == "SAME_UPPER" else replace(side, before=more, after=less)
    )


def _counted(side: Side, *, rounding_up: bool) -> Side:
    size = FREE if side.size == FREE else side.size + side.before + side.after
    if not rounding_up:
        return replace(side, count=window_count(size, side.extent, side.stride))
    if size == FREE:
        raise Inexpressible("rounding up the number of windows over a size that is free")
    count = window_count(size + side.stride - 1, side.extent, side.stride)
    if (count - 1) * side.stride >= side.size + side.before:
        count -= 1  # a window must begin in the input or the padding before it
    return replace(side, count=count)
