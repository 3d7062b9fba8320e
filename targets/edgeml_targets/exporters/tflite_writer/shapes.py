"""Shapes with sizes that are free: the batch, above all. A free size is -1, as TFLite's signatures have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible

Shape = tuple[int, ...]
FREE: Final = -1
"""A size that is chosen when the file runs."""

FREE_SIZE: Final = -(1 << 30) - 7
"""What stands for a free size in a constant that was computed from a shape; no size and no index is this number, and 32 bits hold it."""


FromAxis = tuple[int, int, int]
"""An axis of a tensor of the file, a factor and a summand: the axis's size times the factor, plus the summand."""


def at_rest(shape: Shape) -> Shape:
    """Return `shape` as the file stores it: free sizes are 1 until a runtime resizes."""
    return tuple(1 if size == FREE else size for size in shape)


def product(sizes: Sequence[int]) -> int:
    """Return the product of sizes, FREE when one of them is."""
    return FREE if FREE in sizes else math.prod(sizes)


def size_sources(shape: Shape, asked: Shape) -> list[FromAxis | int] | None:
    """Return where each of the sizes that are asked for comes from when only axes of size 1 are added or dropped, else `None`."""
    moving = iter([axis for axis, size in enumerate(shape) if size != 1])
    found: list[FromAxis | int] = []
    for size in asked:
        axis = next(moving, None) if size != 1 else None
        if size != 1 and (axis is None or shape[axis] != size):
            return None
        found.append(size if axis is None or size != FREE else (axis, 1, 0))
    return found if next(moving, None) is None else None


def broadcast(left: Shape, right: Shape) -> Shape:
    """Return the shape of an elementwise result.

    Raises:
        Inexpressible: The shapes do not go together.
    """
    rank = max(len(left), len(right))
    pairs = zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True)
    return tuple(_common(a, b) for a, b in pairs)


def window_count(size: int, extent: int, stride: int) -> int:
    """Return how many windows of `extent` fit into `size` (padding included) at a stride; FREE when the size is.

    Raises:
        Inexpressible: Not even one fits.
    """
    if size == FREE:
        return FREE
    if size < extent:
        raise Inexpressible(f"a window of {extent} does not fit into {size}")
    return (size - extent) // stride + 1


def reshaped(shape: Shape, asked: Sequence[int], *, zero_copies: bool) -> Shape:
    """Return what ONNX's Reshape makes of `shape`, free sizes carried through.

    Args:
        shape: Of the input.
        asked: The sizes asked for: -1 for what is left, 0 for the input's own (if `zero_copies`), FREE_SIZE for a free one.
        zero_copies: Whether 0 means the input's size; otherwise it means 0.

    Raises:
        Inexpressible: The sizes do not go together, or a batch that is free would be fixed.
    """
    out = [
        shape[i] if size == 0 and zero_copies else FREE if size == FREE_SIZE else int(size)
        for i, size in enumerate(asked)
    ]
    left_open = [i for i, size in enumerate(asked) if size == -1]
    known = math.prod(size for size in shape if size != FREE)
    free = shape.count(FREE)
    if left_open:
        others = [size for i, size in enumerate(out) if i != left_open[0]]
        rest = math.prod(size for size in others if size != FREE)
        still_free = free > others.count(FREE)
        if rest == 0 or (known % rest and (not still_free or (free == 1 and rest % known))):
            raise Inexpressible(f"{shape} cannot be reshaped to {tuple(asked)}")
        out[left_open[0]] = FREE if still_free else known // rest
    elif free and FREE not in out:
        if math.prod(out) != known or not out or out[0] != 1:
            raise Inexpressible(f"{shape} has a free size and is reshaped to the fixed {tuple(asked)}")
        out[0] = FREE  # written for a batch of 1: any batch does as well
    if product(out) != product(shape):
        raise Inexpressible(f"{shape} cannot be reshaped to {tuple(asked)}")
    return tuple(out)


def _common(a: int, b: int) -> int:
    if a == b or b == 1:
        return a
    if a == 1 or a == FREE:
        return b
    if b == FREE:
        return a
    raise Inexpressible(f"sizes {a} and {b} do not go together")
