"""Encodings: how each tensor is written as integers. Made once from a calibration and a scheme; every exporter reads them.

The structure is neutral: tensor -> scale, zero point, bits, axis. It names no runtime's nodes, so the same numbers go
into a QDQ graph, a flatbuffer, or whatever the next runtime wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.integer]

LEAST_HALF: Final = 2.0**-24
"""The least number that half precision holds above 0, and the step of all below 2**-14."""
_LEAST_HALF_SCALE: Final = 100 * LEAST_HALF  # rounded up to a half, such a step grows by 1 %
MOST_BIAS_STEPS: Final = 1 << 30  # half of 32 bits: the other half is for the sum of products that it is added to


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """How one tensor is written as integers: real = scale * (integer - zero point).

    Args:
        scale: One step, in the tensor's own unit, above 0; one entry, or one a channel along `axis`.
        zero_point: The integer that means 0; as many entries as `scale`.
        bits: Width of the integers, 2 to 16.
        signed: Whether they run from -2**(bits-1), else from 0.
        axis: The channel axis of a per-channel encoding, `None` for one scale a tensor.
        narrow: Leave out the lowest integer, so that the range is symmetric (LiteRT's weights: -127 to 127).
        block: Values of one run: the flat tensor in runs of so many values, one entry of `scale` a run (then `axis` is
            `None`). Weights that are computed with in float; no integer kernel takes it.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 1; blocks: Dettmers et al. 2022, arXiv:2110.02861, section 2.1.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    bits: int = 8
    signed: bool = True
    axis: int | None = None
    narrow: bool = False
    block: int | None = None

    @property
    def lowest(self) -> int:
        """The lowest integer that may be stored."""
        return (-(1 << (self.bits - 1)) if self.signed else 0) + int(self.narrow)

    @property
    def highest(self) -> int:
        """The highest integer that may be stored."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The numpy type that stores them: the narrowest of 8 or 16 bits."""
        return np.dtype(f"{'' if self.signed else 'u'}int{8 if self.bits <= 8 else 16}")

    def quantize(self, values: Floats) -> Integers:
        """Return `values`, of any shape, as integers of the same shape, rounded half to even and saturated.

        Raises:
            ValueError: The encoding is in blocks, and they are no whole number of its blocks.
        """
        if self.block is not None:
            return self._one_a_run().quantize(self._runs(values)).reshape(values.shape)
        scale, zero_point = self._along_axis(values.ndim)
        steps = np.asarray(
            np.divide(values, scale, dtype=np.float64)
        )  # what follows is done in its place: weights are large
        np.rint(steps, out=steps)
        if zero_point.any():
            np.add(steps, zero_point, out=steps)
        return np.clip(steps, self.lowest, self.highest, out=steps).astype(self.dtype)

    def dequantize(self, integers: Integers) -> npt.NDArray[np.float32]:
        """Return what the integers mean, float32, of the same shape.

        Raises:
            ValueError: The encoding is in blocks, and they are no whole number of its blocks.
        """
        if self.block is not None:
            return self._one_a_run().dequantize(self._runs(integers)).reshape(integers.shape)
        scale, zero_point = self._along_axis(integers.ndim)
        return ((integers.astype(np.float64) - zero_point) * scale).astype(np.float32)

    def _one_a_run(self) -> Encoding:
        return msgspec.structs.replace(self, axis=0, block=None)

    def _runs(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return values as rows of one run each, (runs, block)."""
        if self.block is None or values.size != self.block * len(self.scale):
            raise ValueError(f"{values.size} values are not {len(self.scale)} runs of {self.block}")
        return values.reshape(-1, self.block)

    def _along_axis(self, rank: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = -1
        elif len(self.scale) == 1:
            shape = []
        return np.reshape(np.asarray(self.scale, np.float64), shape), np.reshape(np.asarray(self.zero_point), shape)


class Encodings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of every tensor that is not left in float32.

    Args:
        tensors: Weights and activations by name, with their static encoding.
        dynamic: Activations whose scale is found anew at each inference.
        float16: Weights that are stored in half precision and computed in float32.

    A weight with an encoding whose operator's input has none (neither static nor dynamic) is *weight-only*: stored as
    integers, computed in float.
    """

    tensors: Mapping[str, Encoding] = {}
    dynamic: frozenset[str] = frozenset()
    float16: frozenset[str] = frozenset()

    def to_json(self) -> bytes:
        """Return the encodings as JSON, readable by `from_json` and by people."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)

    @classmethod
    def from_json(cls, content: bytes, *, where: str) -> Encodings:
        """Read what `to_json` wrote; `where` names the file in the error.

        Raises:
            EdgemlError: The content is no encodings.
        """
        try:
            return msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EdgemlError(
                f"no encodings: {error}", where=where, mend="make it again with edgeml compress"
            ) from error


def symmetric(limit: npt.ArrayLike, *, bits: int = 8, axis: int | None = None) -> Encoding:
    """Return the symmetric encoding that just holds values of magnitude `limit` (a scalar, or one a channel of `axis`).

    A limit of 0 (a channel that is all zero) gets the smallest scale that is safe to divide by.

    Raises:
        ValueError: A limit is negative or not finite.
    """
    limits = np.atleast_1d(np.asarray(limit, np.float64))
    if not (np.isfinite(limits).all() and (limits >= 0).all()):
        raise ValueError("a limit is negative or not finite")
    scale = np.maximum(limits / ((1 << (bits - 1)) - 1), np.finfo(np.float32).tiny)
    scale = scale.astype(np.float32).astype(np.float64)  # what a runtime will compute with
    return Encoding(
        scale=tuple(scale.tolist()), zero_point=(0,) * len(scale), bits=bits, signed=True, axis=axis, narrow=True
    )


def symmetric_blocks(values: Floats, *, block: int, bits: int = 8) -> Encoding:
    """Return the symmetric encoding that just holds weights in runs of `block` values.

    The scales are numbers of half precision, rounded up, wherever the largest is not too small for it: stored in two bytes
    each, they cost a block of 32 values 6 % of its size, not 12.

    Args:
        values: Of any shape; their number is a multiple of `block`.
        block: Values of one run, 2 or more.
        bits: Width of the integers, 2 to 8.

    Raises:
        ValueError: A value is not finite, or they are no whole number of blocks.

    Source: Dettmers et al. 2022, arXiv:2110.02861, section 2.1, there for optimizer states.
    """
    if values.size % block:
        raise ValueError(f"{values.size} values are no whole number of runs of {block}")
    limits = np.abs(np.asarray(values, np.float64).reshape(-1, block)).max(axis=1, initial=0.0)
    found = symmetric(limits, bits=bits)
    scale = np.asarray(found.scale)
    if _LEAST_HALF_SCALE <= scale.max(initial=0.0) <= float(np.finfo(np.float16).max):
        scale = _halves_from_below(scale)
    return msgspec.structs.replace(found, scale=tuple(scale.tolist()), block=block)


def _halves_from_below(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each value the next number of half precision that is not below it, above 0."""
    near = values.astype(np.float16)
    up = np.where(near.astype(np.float64) < values, np.nextafter(near, np.float16(np.inf)), near)
    return np.maximum(up.astype(np.float64), LEAST_HALF)


def affine(low: float, high: float, *, bits: int = 8, signed: bool) -> Encoding:
    """Return the asymmetric per-tensor encoding of the range `low` to `high`, widened to hold 0 exactly.

    Raises:
        ValueError: The range is empty or not finite.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"no range: {low} to {high}")
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    steps = (1 << bits) - 1
    scale = float(np.float32(max((high - low) / steps, float(np.finfo(np.float32).tiny))))
    lowest = -(1 << (bits - 1)) if signed else 0
    zero_point = int(np.clip(np.rint(lowest - low / scale), lowest, lowest + steps))
    return Encoding(scale=(scale,), zero_point=(zero_point,), bits=bits, signed=signed)


def hold_bias(weight: Encoding, input_scale: float, bias: Floats) -> Encoding:
    """Return a weight's encoding, its scales widened where the operator's bias would not fit into 32 bits otherwise.

    A bias is stored in 32 bits with the scale `input_scale * weight scale`. A channel whose weights are next to nothing
    (a pruned one) has a scale so small that its bias would be saturated, and the channel would answer something else.

    Args:
        weight: With one scale, or one an output channel.
        input_scale: The scale of the operator's input.
        bias: One value an output channel, (channels,).
    """
    least = np.maximum(np.abs(np.asarray(bias, np.float64)) / MOST_BIAS_STEPS, np.finfo(np.float32).tiny) / input_scale
    if len(weight.scale) == 1:
        least = np.atleast_1d(least.max(initial=0.0))
    scale = np.asarray(weight.scale, np.float64)
    # One float32 step up, so that rounding to what a runtime computes with does not take it back below.
    widened = np.where(
        scale < least, np.nextafter(least.astype(np.float32), np.float32(np.inf)).astype(np.float64), scale
    )
    return msgspec.structs.replace(weight, scale=tuple(float(s) for s in widened))
