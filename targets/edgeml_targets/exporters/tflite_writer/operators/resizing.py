"""Operators that change the resolution of images, and trade channels for pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import CHANNELS_LAST
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE, FromAxis

Points = npt.NDArray[np.float64]
_TRIAL_SIZE: Final = 12  # what holds for it, at a whole factor, holds for every size
_BILINEAR: Final[Mapping[str, tuple[bool, bool]]] = {
    "half_pixel": (False, True),
    "pytorch_half_pixel": (False, True),
    "align_corners": (True, False),
    "asymmetric": (False, False),
}
"""By ONNX's mode of coordinates: RESIZE_BILINEAR's align_corners and half_pixel_centers."""
_ROUND: Final[Mapping[str, Callable[[Points], Points]]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@lowers("Resize", "Upsample", integer=Integer.KEPT)
def resize(op: Operation) -> None:
    """Write a Resize of height and width, or of one of them."""
    shape = op.shape(0)
    factors = _factors(op)
    if len(shape) not in CHANNELS_LAST or any(factor != 1 for factor in factors[:2]):
        raise Inexpressible(f"it resizes {shape} by {factors}, height and width alone are covered")
    if op.attributes.get_int("exclude_outside", 0) or op.attributes.get_int("antialias", 0):
        raise Inexpressible("it leaves out what is outside, or smooths")
    asked = _asked(op, factors)
    x = op.channels_last(0)
    mode = op.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        _nearest(op, x, factors, asked)
    elif mode in ("linear", "bilinear"):
        _linear(op, x, factors, asked)
    else:
        raise Inexpressible(f"its mode {mode!r} is not covered")


@lowers("DepthToSpace", integer=Integer.KEPT)
def depth_to_space(op: Operation) -> None:
    """Write a DepthToSpace; where the channels come first, they are brought in LiteRT's order before."""
    size = op.attributes.get_int("blocksize", 1)
    x = op.channels_last(0)
    n, c, h, w = x.shape
    if op.attributes.get_string("mode", "DCR") == "CRD":
        order = np.arange(c).reshape(c // size**2, size**2).T.reshape(-1)
        x = op.emit(Op.GATHER, [x, op.integers(order)], x, schema.GatherOptionsT(axis=3))
    grown = tuple(FREE if s == FREE else s * size for s in (h, w))
    like = op.result(x, shape=(n, c // size**2, *grown))
    op.write(Op.DEPTH_TO_SPACE, [x], like, schema.DepthToSpaceOptionsT(blockSize=size))


@lowers("SpaceToDepth", integer=Integer.KEPT)
def space_to_depth(op: Operation) -> None:
    """Write a SpaceToDepth."""
    size = op.attributes.get_int("blocksize", 1)
    x = op.channels_last(0)
    n, c, h, w = x.shape
    shrunk = tuple(FREE if s == FREE else s // size for s in (h, w))
    like = op.result(x, shape=(n, c * size**2, *shrunk))
    op.write(Op.SPACE_TO_DEPTH, [x], like, schema.SpaceToDepthOptionsT(blockSize=size))


def _nearest(op: Operation, x: Form, factors: list[float], asked: list[int]) -> None:
    """Write LiteRT's kernel where it picks the same elements, else a GATHER an axis."""
    picks = {axis: _picked(op, x.shape[axis], factors[axis], asked[axis]) for axis in range(2, len(x.shape))}
    if all(np.array_equal(p, _by_floor(p, x.shape[axis])) for axis, p in picks.items()):
        _write(op, Op.RESIZE_NEAREST_NEIGHBOR, x, (factors, asked), schema.ResizeNearestNeighborOptionsT())
        return
    for axis, indexes in picks.items():
        if x.shape[axis] == FREE:
            raise Inexpressible("its coordinates are not LiteRT's, and the size is free")
        if not np.array_equal(indexes, np.arange(x.shape[axis])):
            grown = tuple(len(indexes) if i == axis else s for i, s in enumerate(x.shape))
            options = schema.GatherOptionsT(axis=x.layout.index(axis))
            x = op.emit(Op.GATHER, [x, op.integers(indexes)], replace(x, shape=grown), options)
    op.hold(x)


def _linear(op: Operation, x: Form, factors: list[float], asked: list[int]) -> None:
    coordinates = op.attributes.get_string("coordinate_transformation_mode", _default_coordinates(op))
    if coordinates not in _BILINEAR:
        raise Inexpressible(f"its coordinates {coordinates!r} are not LiteRT's")
    aligns, centres = _BILINEAR[coordinates]
    for axis in range(2, len(x.shape)):
        size, made = x.shape[axis], asked[axis]
        if not aligns and size != FREE and abs(made / size - factors[axis]) > 1e-6:
            raise Inexpressible(f"a factor of {factors[axis]} over a size of {size}")
        if coordinates == "pytorch_half_pixel" and made == 1:
            raise Inexpressible("its coordinates 'pytorch_half_pixel' bring a size to 1")
    options = schema.ResizeBilinearOptionsT(alignCorners=aligns, halfPixelCenters=centres)
    _write(op, Op.RESIZE_BILINEAR, x, (factors, asked), options)


def _write(op: Operation, code: int, x: Form, sizes: tuple[list[float], list[int]], options: object) -> None:
    factors, asked = sizes
    entries: list[FromAxis | int] = []
    for position in (1, 2):
        axis = x.layout[position]
        if axis is None:
            entries.append(1)
        else:
            entries.append((position, int(factors[axis]), 0) if asked[axis] == FREE else asked[axis])
    vector = op.forms.size_vector(x, entries)
    op.write(code, [x, vector], op.result(x, shape=(*x.shape[:2], *asked[2:])), options)


def _factors(op: Operation) -> list[float]:
    """Return by how much each of the model's axes grows."""
    shape = op.shape(0)
    old = op.node.op_type == "Upsample" or op.opset < 11
    scales = op.known(1 if old else 2)
    if scales is None and op.has(1 if old else 2):
        raise Inexpressible("its scales are not constant")
    if scales is None and "scales" in op.attributes:
        scales = np.array(op.attributes.get_floats("scales"))
    if scales is not None and scales.size:
        axes = _axes(op, scales.size)
        factors = dict(zip(axes, scales.reshape(-1).astype(float).tolist(), strict=True))
        return [factors.get(axis, 1.0) for axis in range(len(shape))]
    sizes = op.sizes(3, "its list of sizes").reshape(-1).tolist()
    wanted = dict(zip(_axes(op, len(sizes)), sizes, strict=True))
    if op.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Inexpressible("it keeps the ratio of the sides")
    return [_factor(shape[axis], wanted.get(axis, FREE_SIZE)) for axis in range(len(shape))]


def _factor(size: int, wanted: int) -> float:
    if size == FREE and wanted == FREE_SIZE:
        return 1.0
    if size == FREE or wanted == FREE_SIZE:
        return math.nan
    return wanted / size


def _asked(op: Operation, factors: list[float]) -> list[int]:
    """Return the sizes of the output, FREE where they follow from a free size by a whole factor."""
    made = []
    for size, factor in zip(op.shape(0), factors, strict=True):
        if math.isnan(factor) or (size == FREE and factor != int(factor)):
            raise Inexpressible(f"it resizes a size that is free by {factor}")
        made.append(FREE if size == FREE else math.floor(size * factor + 1e-6))
    return made


def _axes(op: Operation, count: int) -> list[int]:
    rank = len(op.shape(0))
    listed = op.attributes.get_ints("axes", ())
    return [axis % rank for axis in listed] or list(range(count))


def _default_coordinates(op: Operation) -> str:
    return "half_pixel" if op.node.op_type == "Resize" and op.opset >= 11 else "asymmetric"


def _picked(op: Operation, size: int, factor: float, asked: int) -> npt.NDArray[np.intp]:
    """Return which element each one of the output is, by ONNX's rules; of a size that is free, at a trial size."""
    if size == FREE:
        size, asked = _TRIAL_SIZE, int(_TRIAL_SIZE * factor)
    coordinates = op.attributes.get_string("coordinate_transformation_mode", _default_coordinates(op))
    rounding = op.attributes.get_string("nearest_mode", "round_prefer_floor")
    if _default_coordinates(op) == "asymmetric":
        rounding = "floor"
    places = np.arange(asked, dtype=np.float64)
    if coordinates in ("half_pixel", "pytorch_half_pixel"):
        places = (places + 0.5) / factor - 0.5
        if coordinates == "pytorch_half_pixel" and asked == 1:
            places = np.zeros(1)
    elif coordinates == "align_corners":
        places = places * (size - 1) / (asked - 1) if asked > 1 else np.zeros(1)
    elif coordinates == "asymmetric":
        places = places / factor
    else:
        raise Inexpressible(f"its coordinates {coordinates!r} are not covered")
    steady = np.round(places, 5)  # float32's noise must not decide between two elements
    picked: npt.NDArray[np.intp] = np.clip(_ROUND[rounding](steady), 0, size - 1).astype(np.intp)
    return picked


def _by_floor(indexes: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """Return what LiteRT's kernel picks where neither corners nor centres are aligned."""
    size = _TRIAL_SIZE if size == FREE else size
    scale = np.float32(size) / np.float32(len(indexes))
    picked: npt.NDArray[np.intp] = np.floor(np.arange(len(indexes), dtype=np.float32) * scale).astype(np.intp)
    return np.minimum(picked, size - 1)
