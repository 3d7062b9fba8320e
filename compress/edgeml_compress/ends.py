"""Where integers end before the network does: what only float operators read is not worth making an integer.

From each end backwards: a view, which costs nothing in either form, but would be rounded before and behind; and a small
product, whose integer kernel takes longer to prepare than the float one to compute. Products in the middle stay: there the
way out of integers and back would cost as much.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import WEIGHTS, is_constant
from edgeml_targets.target import Scheme

VIEWS: Final = frozenset({"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
PRODUCTS: Final = frozenset({"Gemm", "MatMul"})


def float_ends(integer: Sequence[ir.Node], scheme: Scheme, asked: Collection[ir.Node] = ()) -> Mapping[ir.Node, str]:
    """Return which of the nodes that could compute in integers stay in float because no integer node reads them, and why.

    A network whose layers would all stay so keeps them all in integers: it would be float in all but name. A product whose
    weight another node reads as well stays an integer, since a weight has one form.

    Args:
        integer: In the graph's order.
        scheme: Says which products are small.
        asked: Nodes that shall be integers in any case.
    """
    kept = set(asked)
    found = _small_ends(integer, scheme, kept)
    while shared := sharing({node for node in found if node.op_type in PRODUCTS}):
        kept |= shared
        found = _small_ends(integer, scheme, kept)
    had, has = (any(_is_layer(node) for node in nodes) for nodes in (integer, set(integer) - found.keys()))
    return found if has or not had else {}


def sharing(nodes: Collection[ir.Node]) -> set[ir.Node]:
    """Return which of these layers have a weight that a node besides them reads: it cannot lose its encoding for their sake."""
    held = ((node, node.inputs[1]) for node in nodes)
    return {node for node, weight in held if weight is not None and any(u.node not in nodes for u in weight.uses())}


def _small_ends(integer: Sequence[ir.Node], scheme: Scheme, asked: Collection[ir.Node]) -> dict[ir.Node, str]:
    left = set(integer)
    found: dict[ir.Node, str] = {}
    for node in reversed(integer):
        if node in asked or any(user in left for user in node.successors()):
            continue
        if node.op_type in VIEWS:
            found[node] = "it only passes on what float operators read"
        elif (count := products(node)) is not None and count < scheme.least_products:
            found[node] = f"float operators read its result, and it is small: {count:,} products"
        else:
            continue
        left.discard(node)
    return found


def _is_layer(node: ir.Node) -> bool:
    return node.op_type in WEIGHTS and node.op_type != "Gather"  # one in integers selects from an activation


def products(node: ir.Node) -> int | None:
    """Return how many numbers a Gemm or MatMul multiplies with those of its constant matrix for one sample.

    `None` where that is not known before the network runs, as of a sequence of any length, and of other nodes.
    """
    given, weight = (node.inputs[0], node.inputs[1]) if node.op_type in PRODUCTS else (None, None)
    if given is None or weight is None or weight.const_value is None or not is_constant(weight):
        return None
    sizes, axis = weight.const_value.shape.numpy(), WEIGHTS[node.op_type][1](node, 2)
    held = _size(given) if len(sizes) == 2 and axis is not None else None
    return None if held is None or axis is None else held * sizes[axis]


def _size(value: ir.Value) -> int | None:
    """Return how many numbers a value holds for one sample; a view as many as what it shows, where its own shape is not known."""
    seen: ir.Value | None = value
    while seen is not None:
        maker = seen.producer()
        sizes = None if seen.shape is None else _without_batch(list(seen.shape), seen.graph)
        if sizes is not None and all(isinstance(size, int) and size >= 0 for size in sizes):
            return math.prod(size for size in sizes if isinstance(size, int))
        seen = maker.inputs[0] if maker is not None and maker.op_type in VIEWS else None
    return None


def _without_batch(sizes: list[int | ir.SymbolicDim], graph: ir.Graph | None) -> list[int | ir.SymbolicDim]:
    """Return the sizes but for one that has the name of the samples' axis, the first of each input."""
    firsts = [value.shape[0] for value in (graph.inputs if graph is not None else ()) if value.shape]
    names = {first.value for first in firsts if isinstance(first, ir.SymbolicDim) and first.value is not None}
    found = next((i for i, size in enumerate(sizes) if isinstance(size, ir.SymbolicDim) and size.value in names), None)
    return sizes if found is None else sizes[:found] + sizes[found + 1 :]
