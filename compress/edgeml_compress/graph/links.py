"""Links: two layers in a row, between which nothing stands but what answers `s` times as much when given `s` times as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.channels import own_weight
from edgeml_compress.graph.layers import constant, is_constant, sole_user

ELEMENTWISE: Final = frozenset({"Relu", "LeakyRelu", "PRelu", "Abs", "Identity"})
POOLING: Final = frozenset({"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
"""Each channel by itself; channels are the second axis."""


@dataclass(frozen=True)
class Link:
    """Two layers in a row.

    Args:
        first, second: The layers.
        added: The addition of a constant right behind a MatMul, and which of its inputs that is; `None`: the first layer's own bias.
        entering: What enters the second layer.
        axis: The axis of the first layer's output channels there.
        repeats: Values of what enters the second layer that one channel of the first became by being flattened.
    """

    first: ir.Node
    second: ir.Node
    added: tuple[ir.Node, int] | None
    entering: ir.Value
    axis: int
    repeats: int = 1


def links(model: ir.Model) -> list[Link]:
    """Return all links of the main graph, in its order."""
    return [link for node in model.graph if (link := _link_from(node)) is not None]


def _link_from(first: ir.Node) -> Link | None:
    grouped = first.op_type == "ConvTranspose" and first.attributes.get_int("group", 1) > 1
    if own_weight(first) is None or not _constant_bias(first) or grouped:
        return None
    value, added = first.outputs[0], None
    rank = len(value.shape) if value.shape is not None else 0
    axis = rank - 1 if first.op_type in ("Gemm", "MatMul") else 1
    if rank < 2:
        return None
    while (user := sole_user(value)) is not None and not user.domain:
        if own_weight(user) is not None and user.inputs[0] is value:
            return _ended(first, user, added, value, axis)
        if (
            first.op_type == "MatMul"
            and value is first.outputs[0]
            and (index := _constant_row(user, value)) is not None
        ):
            added = (user, index)
        elif not _scales_along(user, value, axis):
            return None
        value = user.outputs[0]
    return None


def _constant_bias(node: ir.Node) -> bool:
    bias = node.inputs[2] if node.op_type != "MatMul" and len(node.inputs) > 2 else None
    return bias is None or is_constant(bias)


def _constant_row(user: ir.Node, value: ir.Value) -> int | None:
    """Return which input of an addition is a constant a channel, the channels along its last axis."""
    if user.op_type != "Add":
        return None
    index = 1 if user.inputs[0] is value else 0
    other = user.inputs[index]
    if other is None or not is_constant(other):
        return None
    shape = constant(other).shape
    return index if len(shape) <= 1 or all(size == 1 for size in shape[:-1]) else None


def _scales_along(user: ir.Node, value: ir.Value, axis: int) -> bool:
    """Tell whether a node gives `s` times as much for `s` times as much, each channel along `axis` by itself."""
    if user.inputs[0] is not value:
        return False
    if user.op_type in ELEMENTWISE:
        return user.op_type != "PRelu" or user.inputs[1] is not None
    if axis != 1 or value.shape is None:
        return False
    rank = len(value.shape)
    if user.op_type in POOLING:
        return len(user.outputs) == 1 and rank > 2
    if user.op_type == "ReduceMean":
        axes = _axes(user, rank)
        return axes is not None and len(axes) > 0 and min(axes) > 1
    if user.op_type == "Squeeze":
        axes = _axes(user, rank)
        return axes is not None and len(axes) > 0 and min(axes) > 1
    return user.op_type in ("Flatten", "Reshape") and _flattened(user, value)


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if given is not None:
        return [int(a) % rank for a in constant(given).reshape(-1)] if is_constant(given) else None
    axes = node.attributes.get_ints("axes")
    return None if axes is None else [a % rank for a in axes]


def _flattened(user: ir.Node, value: ir.Value) -> bool:
    """Tell whether a node makes one row a sample of (batch, channels, *size), the channels still in order."""
    shape, before = user.outputs[0].shape, value.shape
    if shape is None or before is None or len(shape) != 2:
        return False
    sizes = [int(d) if isinstance(d, int) else -1 for d in before[1:]]
    return -1 not in sizes and isinstance(shape[1], int) and shape[1] == int(np.prod(sizes)) and before[0] == shape[0]


def _ended(
    first: ir.Node, second: ir.Node, added: tuple[ir.Node, int] | None, entering: ir.Value, axis: int
) -> Link | None:
    """Return the link, or `None` where the second layer's input channels are not the first one's output channels."""
    if entering.shape is None:
        return None
    rank = len(entering.shape)
    if axis != (1 if second.op_type in ("Conv", "ConvTranspose") else rank - 1):
        return None
    outputs, inputs = _channels(first, into=False), _channels(second, into=True)
    repeats = inputs // outputs if outputs else 0
    if repeats * outputs != inputs or (repeats > 1 and rank != 2):
        return None
    return Link(first, second, added, entering, axis, repeats)


def _channels(node: ir.Node, *, into: bool) -> int:
    weight = node.inputs[1]
    shape: tuple[int, ...] = constant(weight).shape if weight is not None else ()
    groups = node.attributes.get_int("group", 1) if node.op_type in ("Conv", "ConvTranspose") else 1
    if node.op_type == "Conv":
        return shape[1] * groups if into else shape[0]
    if node.op_type == "ConvTranspose":
        return shape[0] if into else shape[1] * groups
    flipped = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1
    return shape[1] if into == flipped else shape[0]
