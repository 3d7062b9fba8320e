"""A layer as a matrix product: its weight as a matrix a group, what enters it as columns.

What AdaRound and GPTQ are about is `matrix @ columns`, whatever the operator: a convolution of any rank, strided, dilated,
padded or grouped, a Gemm, a MatMul.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Array = npt.NDArray[np.float32]

MOST_POSITIONS: Final = 64
"""Places of a convolution that one sample gives; neighbours tell nearly the same."""


def why_no_product(node: ir.Node, rank: int) -> str | None:
    """Return why a layer with a weight of this rank is not read as a matrix product here, or `None` where it is."""
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return f"a {node.op_type} is not treated"
    if node.op_type == "MatMul" and rank != 2:
        return f"its weight has {rank} axes"
    if node.op_type == "Gemm" and node.attributes.get_int("transA", 0) == 1:
        return "its input is transposed"
    if node.op_type == "Gemm" and node.attributes.get_float("alpha", 1.0) != 1:
        return "its product is scaled"
    return None


def as_matrix(node: ir.Node, weight: Array) -> Array:
    """Return a weight as (groups, outputs of a group, inputs of a group), a view where that can be.

    Raises:
        ValueError: It is no product, see `why_no_product`.
    """
    if (reason := why_no_product(node, weight.ndim)) is not None:
        raise ValueError(reason)
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        return weight.reshape(groups, weight.shape[0] // groups, -1)
    flipped = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return (weight if flipped else weight.T)[None]


def from_matrix(node: ir.Node, matrix: Array, like: Array) -> Array:
    """Return a weight of the shape of `like` from its matrix."""
    if node.op_type == "Conv":
        return np.ascontiguousarray(matrix.reshape(like.shape), np.float32)
    flipped = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return np.ascontiguousarray(matrix[0] if flipped else matrix[0].T, np.float32)


def columns(node: ir.Node, entering: Array, kernel: Sequence[int], most: int = MOST_POSITIONS) -> Array:
    """Return what the weight is multiplied with, as (groups, inputs of a group, positions).

    Args:
        node: The layer.
        entering: Its input: (samples, channels, *size) of a Conv, (..., features) of a product.
        kernel: The weight's shape from its third axis on, of a Conv; empty otherwise.
        most: Positions of one sample, evenly spread, the same in `picked`.
    """
    if node.op_type != "Conv":
        return entering.reshape(-1, entering.shape[-1]).T[None]
    groups = node.attributes.get_int("group", 1)
    windows = _windows(node, entering, kernel)
    rank = len(kernel)
    samples, channels = windows.shape[:2]
    flat = _places(windows.shape[2 : 2 + rank], most)
    taken = _at(windows, flat)  # (samples, channels, positions, *kernel)
    moved = np.moveaxis(taken.reshape(samples, channels, len(flat[0]), -1), 2, 1)  # positions before channels
    rows = moved.reshape(samples * len(flat[0]), groups, -1)
    return np.ascontiguousarray(rows.transpose(1, 2, 0))


def picked(node: ir.Node, leaving: Array, most: int = MOST_POSITIONS) -> Array:
    """Return what a layer gives at the positions of `columns`, as (groups, outputs of a group, positions)."""
    if node.op_type != "Conv":
        return leaving.reshape(-1, leaving.shape[-1]).T[None]
    groups = node.attributes.get_int("group", 1)
    flat = _places(leaving.shape[2:], most)
    taken = _at(leaving, flat)  # (samples, channels, positions)
    rows = taken.transpose(1, 0, 2).reshape(groups, leaving.shape[1] // groups, -1)
    return np.ascontiguousarray(rows)


def _at(values: Array, places: tuple[npt.NDArray[np.intp], ...]) -> Array:
    """Return what stands at some places of the axes behind the second, which become one."""
    index: tuple[Any, ...] = (slice(None), slice(None), *places)
    return np.asarray(values[index])


def _places(size: Sequence[int], most: int) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the indexes, an array an axis, of at most `most` positions of an output of this size, evenly spread."""
    count = int(np.prod(size, dtype=np.int64))
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.intp))
    return tuple(np.unravel_index(chosen, tuple(size)))


def _windows(node: ir.Node, entering: Array, kernel: Sequence[int]) -> Array:
    """Return a view of every window of a convolution: (samples, channels, *output size, *kernel)."""
    rank = len(kernel)
    strides = node.attributes.get_ints("strides", [1] * rank)
    dilations = node.attributes.get_ints("dilations", [1] * rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sides = _pads(node, entering.shape[2:], reach, strides)
    padded = np.pad(entering, [(0, 0), (0, 0), *sides])
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(reach), axis=tuple(range(2, 2 + rank)))
    steps = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    return windows[(*steps, *(slice(None, None, d) for d in dilations))]


def _pads(node: ir.Node, size: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Return what is padded before and after each axis."""
    rank, automatic = len(size), node.attributes.get_string("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        missing = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(size, strides, reach, strict=True)]
        halves = [(m // 2, m - m // 2) for m in missing]
        return halves if automatic == "SAME_UPPER" else [(after, before) for before, after in halves]
    pads = node.attributes.get_ints("pads", [0] * 2 * rank) if automatic != "VALID" else [0] * 2 * rank
    return list(zip(pads[:rank], pads[rank:], strict=True))
