"""Scale what passes from one layer to the next, channel by channel: out of one, into the next, so that answers stay.

Works on a graph that the caller owns. A layer is a Conv, ConvTranspose, Gemm or MatMul with a constant weight of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import constant, is_constant, name_of
from edgeml_compress.graph.naming import Constants
from edgeml_compress.graph.running import Feed, Samples, batches, cores, in_turn, open_session, spread

Floats = npt.NDArray[np.float64]
MOST_SEEN: Final = 64
"""Samples. How channels compare does not need them all; ranges are drawn from all of them afterwards."""


def own_weight(node: ir.Node) -> ir.Value | None:
    """Return a layer's constant weight where no other node reads it, else `None`."""
    if node.domain or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    weight = node.inputs[1]
    sole = weight is not None and is_constant(weight) and len(weight.uses()) == 1 and not weight.is_graph_output()
    matrix = node.op_type not in ("Gemm", "MatMul") or (
        weight is not None and weight.shape is not None and len(weight.shape) == 2
    )
    return weight if sole and matrix and node.attributes.get_int("transA", 0) == 0 else None


def input_ranges(node: ir.Node) -> Floats:
    """Return the largest magnitude of the weights that each input channel is multiplied with, (channels,)."""
    values, axis = _by_input(node)
    return _largest(values, axis).reshape(-1)


def output_ranges(node: ir.Node) -> Floats | None:
    """Return the largest magnitude of the weights that make each output channel, (channels,); `None` of a grouped ConvTranspose."""
    axis = _output_axis(node)
    return None if axis is None else _largest(_values(node), (axis,)).reshape(-1)


def scale_inputs(node: ir.Node, factors: Floats) -> None:
    """Multiply the weights of each input channel with its factor."""
    values, axes = _by_input(node)
    shape = [size if i in axes else 1 for i, size in enumerate(values.shape)]
    _put(node, values * factors.reshape(shape))


def scale_outputs(constants: Constants, node: ir.Node, factors: Floats) -> None:
    """Multiply the weights of each output channel, and its constant bias, with its factor; a new bias goes into `constants`.

    Raises:
        ValueError: Its output channels have no axis of their own.
    """
    axis = _output_axis(node)
    if axis is None:
        raise ValueError(f"{node.name} has output channels in groups")
    values = _values(node)
    _put(node, values * _along(factors, axis, values.ndim))
    if node.op_type != "MatMul" and len(node.inputs) > 2 and node.inputs[2] is not None:
        scale_constant(constants, node, 2, factors)


def scale_constant(constants: Constants, node: ir.Node, index: int, factors: Floats) -> None:
    """Multiply a constant input, whose last axis is that of the channels or broadcast, with a factor a channel.

    The product is a constant of its own, among `constants` of its model: others may read the one that was.
    """
    value, graph = node.inputs[index], node.graph
    if value is None or not isinstance(graph, ir.Graph):
        raise ValueError(f"{node.name} has no constant {index}")
    scaled = (constant(value).astype(np.float64) * factors).astype(np.float32)
    node.replace_input_with(index, constants.add(f"{name_of(value)}_e", scaled))
    if not value.uses() and not value.is_graph_output():
        del graph.initializers[name_of(value)]


def as_many(model: ir.Model, axes: Mapping[str, int], values: Mapping[str, Sequence[float]]) -> bool:
    """Tell whether `values` has as many for each tensor as it has channels, as far as shapes were inferred: what was saved is
    held to it before it is used.

    Args:
        model: A prepared graph.
        axes: The channel axis of each tensor, by name.
        values: One a channel, by name; others are not looked at.
    """
    made = (value for node in model.graph for value in node.outputs)
    shapes = {value.name: value.shape for value in (*model.graph.inputs, *made) if value.name in axes}
    sizes = {name: shape[axes[name]] for name, shape in shapes.items() if name is not None and shape is not None}
    known = {name: size for name, size in sizes.items() if isinstance(size, int)}
    return all(name in values and known.get(name, len(values[name])) == len(values[name]) for name in axes)


def largest_by_channel(model: ir.Model, samples: Samples, axes: dict[str, int]) -> dict[str, Floats]:
    """Return the largest magnitude of each channel of some tensors over at most `MOST_SEEN` samples, streamed.

    Args:
        model: A prepared graph.
        samples: An array an input; the first axis counts samples.
        axes: The channel axis of each tensor, by name.
    """
    names = list(axes)
    session = open_session(model, names)

    def largest(feed: Feed) -> list[Floats]:
        found = zip(names, session.run(names, dict(feed)), strict=True)
        return [_largest(values, (axes[name] % values.ndim,)).reshape(-1) for name, values in found]

    feeds = (batch.feed for batch in batches(model, spread(samples, MOST_SEEN), most=1))
    seen = functools.reduce(
        lambda before, found: list(map(np.maximum, before, found)), in_turn(largest, feeds, cores())
    )
    return dict(zip(names, seen, strict=True))


def _values(node: ir.Node) -> npt.NDArray[np.float32]:
    weight = node.inputs[1]
    if weight is None:
        raise ValueError(f"{node.name} has no weight")
    return constant(weight)


def _put(node: ir.Node, values: Floats) -> None:
    weight = node.inputs[1]
    if weight is None:
        raise ValueError(f"{node.name} has no weight")
    shape = constant(weight).shape
    weight.const_value = ir.tensor(values.reshape(shape).astype(np.float32), name=weight.name)


def _by_input(node: ir.Node) -> tuple[Floats, tuple[int, ...]]:
    """Return a weight in a shape in which some axes, in order, count the input channels, and these axes."""
    values = _values(node).astype(np.float64)
    if node.op_type == "Conv":
        groups = node.attributes.get_int("group", 1)
        return values.reshape(groups, -1, *values.shape[1:]), (0, 2)
    flipped = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return values, (1 if flipped else 0,)


def _output_axis(node: ir.Node) -> int | None:
    if node.op_type == "ConvTranspose":
        return 1 if node.attributes.get_int("group", 1) == 1 else None
    if node.op_type == "Conv" or (node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1):
        return 0
    return 1


def _largest(values: npt.NDArray[np.floating], axes: tuple[int, ...]) -> Floats:
    others = tuple(i for i in range(values.ndim) if i not in axes)
    return np.asarray(np.abs(values).max(axis=others, initial=0.0), np.float64)


def _along(factors: Floats, axis: int, rank: int) -> Floats:
    shape = [1] * rank
    shape[axis] = -1
    return factors.reshape(shape)
