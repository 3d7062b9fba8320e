"""In which order a tensor of the file holds the model's axes.

A layout names, for each axis of the file, the model's axis that it holds, or `None` for an axis of size 1 that the model
does not have. LiteRT convolves with channels last: an image is (0, 2, 3, 1), a signal (0, None, 2, 1).
So a transposition in the model costs nothing until somebody asks for another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.exporters.tflite_writer.shapes import FREE, Shape

Layout = tuple[int | None, ...]
_LARGE_PRIME: Final = 2_147_483_647

CHANNELS_LAST: Final[dict[int, Layout]] = {3: (0, None, 2, 1), 4: (0, 2, 3, 1)}
"""By the model's rank: how convolutions and pooling hold their tensors."""


def plain(rank: int) -> Layout:
    """Return the model's own order."""
    return tuple(range(rank))


def file_shape(shape: Shape, layout: Layout) -> Shape:
    """Return the sizes in the file's order of a tensor that has `shape` in the model."""
    return tuple(1 if axis is None else shape[axis] for axis in layout)


def arranged(array: npt.NDArray[Any], layout: Layout) -> npt.NDArray[Any]:
    """Return a constant, of the model's axes, in the file's order."""
    moved = array.transpose([axis for axis in layout if axis is not None])
    return np.ascontiguousarray(moved.reshape(file_shape(array.shape, layout)))


def without_gaps(layout: Layout) -> tuple[int, ...]:
    """Return a layout without the axes that the model does not have."""
    return tuple(axis for axis in layout if axis is not None)


def moving_order(shape: Shape, layout: Layout) -> tuple[int, ...]:
    """Return the model's axes in the file's order, without those of size 1: they move at no cost."""
    return tuple(axis for axis in without_gaps(layout) if shape[axis] != 1)


def in_model_order(shape: Shape, layout: Layout) -> bool:
    """Tell whether the elements stand as the model has them, so that a reshape alone gives the model's own order."""
    order = moving_order(shape, layout)
    return list(order) == sorted(order)


def transposed(layout: Layout, permutation: Sequence[int]) -> Layout:
    """Return the layout, in terms of the axes after ONNX's Transpose, of a tensor that stays as it is."""
    return tuple(None if axis is None else list(permutation).index(axis) for axis in layout)


def squeezed(layout: Layout, axes: Sequence[int]) -> Layout:
    """Return the layout after the model drops `axes` (of size 1) while the file keeps them."""
    kept = [axis for axis in sorted(without_gaps(layout)) if axis not in axes]
    return tuple(kept.index(axis) if axis in kept else None for axis in layout)


def unsqueezed(layout: Layout, axes: Sequence[int]) -> Layout:
    """Return a layout after the model gets new `axes` of size 1; the elements of the file stay in order.

    Args:
        layout: Before.
        axes: The new axes, counted as the model has them afterwards.

    A new axis takes the place of one that the file has and the model had not, else it is put behind its predecessor.
    """
    new = sorted(axes)
    old = [axis for axis in range(len(without_gaps(layout)) + len(new)) if axis not in new]
    waiting = iter(new)
    made = [old[axis] if axis is not None else next(waiting, None) for axis in layout]
    for axis in waiting:
        made.insert(made.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(made)


def reduced(layout: Layout, axes: Sequence[int]) -> Layout:
    """Return the layout after model and file both drop `axes`."""
    kept = [axis for axis in sorted(without_gaps(layout)) if axis not in axes]
    return tuple(None if axis is None else kept.index(axis) for axis in layout if axis not in axes)


def relabelled(shape: Shape, layout: Layout, new_shape: Shape) -> Layout | None:
    """Return a layout in which the same tensor of the file holds a reshaped value, `None` when there is none.

    There is one where a reshape only takes away or adds axes of size 1 and the file has room for those that are added.
    """
    moving = moving_order(shape, layout)
    new_moving = [axis for axis, size in enumerate(new_shape) if size != 1]
    if list(moving) != sorted(moving) or [shape[a] for a in moving] != [new_shape[a] for a in new_moving]:
        return None
    names = dict(zip(moving, new_moving, strict=True))
    added = [axis for axis, size in enumerate(new_shape) if size == 1]
    if len(layout) - len(moving) < len(added):
        return None
    ones = iter(added)
    return tuple(names[axis] if axis in names else next(ones, None) for axis in layout)


def regrouped(shape: Shape, layout: Layout, new_shape: Shape, left_open: int | None = None) -> Layout | None:
    """Return the layout of a reshaped value whose elements stay where they are, `None` when there is none.

    There is one where a reshape merges axes that the file holds side by side, or splits one: an image with channels last,
    whose height and width become one axis, is a signal with channels last.

    Args:
        shape, layout: Of the tensor.
        new_shape: After the reshape.
        left_open: The new axis that takes what the others leave, where several sizes are free.
    """
    pairs = _groups(shape, new_shape) if left_open is None else _groups_around(shape, new_shape, left_open)
    if pairs is None:
        return None
    new_of = {old: new for old, new in pairs if old}
    lone = [axis for old, new in pairs if not old for axis in new]
    order = without_gaps(layout)
    made: list[int] = []
    position = 0
    while position < len(order):
        group = next(old for old in new_of if order[position] in old)
        if order[position : position + len(group)] != group:
            return None
        made += new_of[group]
        position += len(group)
    for axis in lone:
        made.insert(made.index(axis - 1) + 1 if axis else 0, axis)
    return tuple(made)


def _groups_around(old: Shape, new: Shape, left_open: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]] | None:
    for first in range(min(left_open, len(old)), -1, -1):
        for last in range(first, len(old) + 1):
            before, after = _groups(old[:first], new[:left_open]), _groups(old[last:], new[left_open + 1 :])
            if before is not None and after is not None:
                moved = [
                    (tuple(a + last for a in olds), tuple(a + left_open + 1 for a in news)) for olds, news in after
                ]
                return [*before, (tuple(range(first, last)), (left_open,)), *moved]
    return None


def _groups(old: Shape, new: Shape) -> list[tuple[tuple[int, ...], tuple[int, ...]]] | None:
    """Return which axes become which, in order, each group as small as it can be; a group that has no old axis is new.

    Several free sizes stand for themselves only: both shapes have the same in the same order, or `None` is returned.
    """
    if old.count(FREE) == new.count(FREE) == 1:
        old, new = _with_numbers(old, new)
    pairs = []
    i = j = 0
    while i < len(old) or j < len(new):
        start = i, j
        left, right = (old[i], 1) if i < len(old) else (1, 1)
        i = min(i + 1, len(old))
        if j < len(new):
            right, j = new[j], j + 1
        while left != right:
            if FREE in (left, right):
                return None
            if left < right:
                if i == len(old) or old[i] == FREE:
                    return None
                left, i = left * old[i], i + 1
            else:
                if j == len(new) or new[j] == FREE:
                    return None
                right, j = right * new[j], j + 1
        pairs.append((tuple(range(start[0], i)), tuple(range(start[1], j))))
    return pairs


def _with_numbers(old: Shape, new: Shape) -> tuple[Shape, Shape]:
    """Return shapes of one free size each with numbers for it that make both of the same size, and no other sizes do."""
    known, new_known = (math.prod(size for size in shape if size != FREE) for shape in (old, new))
    return (
        tuple(_LARGE_PRIME * new_known if size == FREE else size for size in old),
        tuple(_LARGE_PRIME * known if size == FREE else size for size in new),
    )
