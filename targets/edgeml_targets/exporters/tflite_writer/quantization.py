"""What encodings mean to LiteRT: which activations are int8, and how weights, biases and constants are stored.

LiteRT's rules: activations are signed, with one scale; weights are signed and symmetric, one scale an output channel, and
leave out -128; a bias is int32 in steps of input scale times weight scale.
Source: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding, Encodings, affine
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.rounded import integers_of
from edgeml_targets.exporters.tflite_writer.layouts import Layout, arranged

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.floating]

SIGMOID: Final = Encoding(scale=(1 / 256,), zero_point=(-128,))
"""What LiteRT asks of the output of LOGISTIC: 0 to 1."""

TANH: Final = Encoding(scale=(1 / 128,), zero_point=(0,))
"""What LiteRT asks of the output of TANH: -1 to 1."""

# A tensor that was 0 in every calibration sample has a scale near float32's least; products of two scales would be 0.
_LEAST_SCALE: Final = 2.0**-60
# A product of scales over the output's below this rounds to no multiplier at all (TFLite: 31 bits and a shift of 31).
_LEAST_MULTIPLIER: Final = 2.0**-30
_MOST_MULTIPLIER: Final = 100.0  # XNNPACK takes less than 256, HARD_SWISH less than 128
_LEAST_STORED: Final = 256  # values; below, a DEQUANTIZE costs more than it saves
_MOST_BIAS: Final = 2.0**30  # leaves as much again of an int32 for the products


class Declared:
    """The encodings that were made for a graph, in LiteRT's terms.

    Args:
        encodings: By the names of the graph's values.
    """

    def __init__(self, encodings: Encodings) -> None:
        self._encodings = encodings
        self._tied: dict[str, Encoding] = {}
        self._known: dict[str, Encoding | None] = {}

    def activation(self, value: ir.Value) -> Encoding | None:
        """Return an activation's encoding as signed 8-bit integers, `None` when it stays in float.

        Raises:
            EdgemlError: It has one that LiteRT cannot hold.
        """
        name = value.name or ""
        if name not in self._known:
            found = self._tied.get(name) or self._encodings.tensors.get(name)
            self._known[name] = None if found is None else _signed(found, name)
        return self._known[name]

    def tie(self, value: ir.Value, encoding: Encoding) -> None:
        """Let an activation have another encoding than the one that was made for it."""
        if value.name and self.activation(value) is not None:
            self._known[value.name] = encoding

    def weight(self, value: ir.Value) -> Encoding | None:
        """Return a weight's encoding as it was made."""
        return self._encodings.tensors.get(value.name or "")

    def dynamic(self, value: ir.Value) -> bool:
        """Tell whether an activation's scale is found anew at each inference."""
        return value.name in self._encodings.dynamic

    def half(self, value: ir.Value) -> bool:
        """Tell whether a constant is stored in half precision."""
        return value.name in self._encodings.float16


@dataclass(frozen=True)
class Kernel:
    """A constant weight as an operator wants it.

    Args:
        value: The weight in the model; its name has the encoding.
        array: Its elements in the model's order of axes.
        channel_axis: The model's axis of output channels.
        arrange: Brings elements, float or integer, into the file's order.
        file_axis: The file's axis of output channels.
        channels: Which output channels `arrange` keeps: from the first up to and without the second.
    """

    value: ir.Value
    array: Floats
    channel_axis: int
    arrange: Callable[[Array], Array]
    file_axis: int
    channels: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Stored:
    """A constant as it is stored: elements in the file's order, and what they mean."""

    content: Array
    encoding: Encoding | None = None


def store_weight(kernel: Kernel, encoding: Encoding, least_scale: Floats | float = 0.0) -> Stored:
    """Return a weight as int8, every channel's scale raised to `least_scale` where it is lower.

    Raises:
        EdgemlError: The encoding is along another axis, of another weight, not symmetric, or wider than 8 bits.
    """
    where = f"the weight {kernel.value.name!r}"
    axis = encoding.axis
    if axis is not None and axis % kernel.array.ndim != kernel.channel_axis:
        what = f"it is encoded along axis {axis}, LiteRT's kernels want the output channels, axis {kernel.channel_axis}"
        raise EdgemlError(what, where=where, mend="encode it along that axis, or as a whole")
    channels = kernel.array.shape[kernel.channel_axis]
    if len(encoding.scale) not in (1, channels):
        what = f"it has {len(encoding.scale)} scales and {channels} output channels"
        raise EdgemlError(what, where=where, mend="encode it again, from this model")
    if encoding.block is not None:
        mend = "encode it along its output channels, or store it in float16"
        raise EdgemlError("it is encoded in blocks, which LiteRT does not have", where=where, mend=mend)
    if encoding.bits > 8:
        raise EdgemlError(f"{encoding.bits} bits", where=where, mend="encode weights with 8 bits or fewer")
    offset = 0 if encoding.signed else 1 << (encoding.bits - 1)
    if any(zero != offset for zero in encoding.zero_point):
        raise EdgemlError("its zero point is not in the middle", where=where, mend="encode weights symmetrically")
    scale = np.maximum(np.asarray(encoding.scale, np.float64), least_scale)
    if len(encoding.scale) == 1:
        scale = scale.max(keepdims=True)
    most = min(127, (1 << (encoding.bits - 1)) - 1)
    raised = Encoding(
        scale=tuple(scale.tolist()), zero_point=(0,) * len(scale), bits=encoding.bits, axis=axis, narrow=most == 127
    )
    integers = _integers(kernel, raised).astype(np.int8, copy=False)
    kept = raised.scale if len(scale) == 1 else raised.scale[slice(*kernel.channels)]
    stored = msgspec.structs.replace(raised, scale=kept, zero_point=(0,) * len(kept), axis=kernel.file_axis)
    return Stored(kernel.arrange(integers), stored)


def _integers(kernel: Kernel, encoding: Encoding) -> Array:
    """Return a weight as integers; those of the model's own numbers, which nothing was folded into, are known mostly."""
    known = kernel.value.const_value
    own = known is not None and kernel.array is known.numpy()
    return integers_of(kernel.value, encoding) if own else encoding.quantize(kernel.array)


def least_weight_scale(bias: Floats, given: Encoding, made: Encoding) -> Floats:
    """Return the lowest scale a channel's weights may have, so that bias and multiplier can be expressed.

    A channel whose weights are next to nothing (pruned, or dead) has next to no scale, while its bias still counts.

    Args:
        bias: (channels,), in the output's unit.
        given, made: The encodings of input and output.
    """
    for_bias = np.abs(bias) / _MOST_BIAS / given.scale[0]
    return np.maximum(for_bias, made.scale[0] * _LEAST_MULTIPLIER / given.scale[0])


def within_reach(made: Encoding, unit: float) -> Encoding:
    """Return an output's encoding with a step that LiteRT's kernels can reach from what they compute in.

    An output that was 0 in every calibration sample has next to no step. Kernels end the process, and XNNPACK refuses the
    file, where one unit is very many output steps. Raised to a hundredth of a unit, the step is still far below what counts.

    Args:
        made: The output's encoding.
        unit: One step of what the kernel adds up: an input's, or a product of two.
    """
    least = float(np.float32(unit / _MOST_MULTIPLIER))
    return made if made.scale[0] >= least else msgspec.structs.replace(made, scale=(least,))


def store_bias(bias: Floats, given: Encoding, weight: Encoding) -> Stored:
    """Return a bias, (channels,), as int32 in steps of input scale times weight scale."""
    scale = np.broadcast_to(np.asarray(weight.scale, np.float64) * given.scale[0], bias.shape)
    steps = np.rint(bias.astype(np.float64) / scale)
    shared = len(weight.scale) == 1
    kept = scale[:1] if shared else scale
    encoding = Encoding(
        scale=tuple(kept.tolist()), zero_point=(0,) * len(kept), bits=16, axis=None if shared else 0
    )  # `bits` goes to 16 only; the file has the width from the elements' own type
    return Stored(np.clip(steps, -(2**31), 2**31 - 1).astype(np.int32), encoding)


def store_operand(array: Floats, encoding: Encoding | None, name: str) -> Stored:
    """Return a constant that is added or multiplied as int8, by its own encoding or by its range."""
    fitting = (
        _signed(encoding, name) if encoding is not None else affine(float(array.min()), float(array.max()), signed=True)
    )
    fitting = _with_floor(fitting)
    return Stored(fitting.quantize(array).astype(np.int8), fitting)


def store_alone(array: Floats, encoding: Encoding, layout: Layout, rank: int) -> Stored:
    """Return a constant that an operator computes with in float, rounded to its encoding.

    It is int8 where that saves space and LiteRT can expand it (symmetric, one scale or one a channel), else float.

    Args:
        array: The constant, with axes of size 1 in front where it was brought to another's rank.
        encoding: Made for the constant as the model has it.
        layout: In which it is stored.
        rank: Of the constant in the model.
    """
    axis = encoding.axis if encoding.axis is None else encoding.axis % rank + array.ndim - rank
    lifted = msgspec.structs.replace(encoding, axis=axis)
    integers = lifted.quantize(array)
    if array.size < _LEAST_STORED or lifted.dtype != np.int8 or any(lifted.zero_point) or encoding.block is not None:
        return Stored(arranged(lifted.dequantize(integers), layout))
    in_file = None if axis is None else layout.index(axis)
    return Stored(arranged(integers.astype(np.int8), layout), msgspec.structs.replace(lifted, axis=in_file))


def _signed(encoding: Encoding, name: str) -> Encoding:
    """Return a per-tensor encoding as signed integers with the same meaning."""
    if len(encoding.scale) != 1:
        raise EdgemlError("it has a scale a channel", where=f"the activation {name!r}", mend="encode it as a whole")
    if encoding.bits > 8:
        what = f"{encoding.bits} bits, LiteRT's kernels here take 8"
        raise EdgemlError(what, where=f"the activation {name!r}", mend="encode it with 8 bits, or leave it in float")
    shift = 0 if encoding.signed else 1 << (encoding.bits - 1)
    zero_point = int(np.clip(encoding.zero_point[0] - shift, -128, 127))
    return _with_floor(Encoding(scale=encoding.scale, zero_point=(zero_point,)))


def _with_floor(encoding: Encoding) -> Encoding:
    scale = max(float(np.float32(encoding.scale[0])), _LEAST_SCALE)
    return msgspec.structs.replace(encoding, scale=(scale,), axis=None)
