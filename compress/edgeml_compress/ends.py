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

    A network whose layers would all stay so keeps them all in integers: it would be float in all but name.

    Args:
        integer: In the graph's order.
        scheme: Says which products are small.
        asked: Nodes that shall be integers in any case.
    """
    left = set(integer)
    found: dict[ir.Node, str] = {}
    for node in reversed(integer):
        if node in asked or any(user in left for user in node.successors()):
            continue
        if node.op_type in VIEWS:
            found[node] = "it only passes on what float operators read"
        elif 0 < (count := products(node)) < scheme.least_products:
            found[node] = f"float operators read its result, and it is small: {count:,} products"
        else:
            continue
        left.discard(node)
    had, has = (any(node.op_type in WEIGHTS for node in nodes) for nodes in (integer, left))
    return found if has or not had else {}


def products(node: ir.Node) -> int:
    """Return how many numbers a Gemm or MatMul multiplies with those of its constant weight for one sample; of another node 0."""
    given, weight = (node.inputs[0], node.inputs[1]) if node.op_type in PRODUCTS else (None, None)
    if given is None or weight is None or weight.shape is None or not is_constant(weight):
        return 0
    rows = [] if given.shape is None else [size for size in given.shape[:-1] if isinstance(size, int)]
    return math.prod(rows) * math.prod(size for size in weight.shape if isinstance(size, int))
