"""What rewrites look for, numbers beside an operand, and how they put one operator in the place of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant


def number(value: ir.Value | None) -> float | None:
    """Return a constant of one value as a number, else `None`."""
    if value is None or not is_constant(value) or value.const_value is None or value.const_value.size != 1:
        return None
    if value.dtype is None or not value.dtype.is_floating_point():
        return None
    return float(value.const_value.numpy().reshape(-1)[0])


def number_beside(node: ir.Node) -> tuple[ir.Value | None, float]:
    """Return the other operand of an operator with two, one of them a number, and that number; `(None, 0)` if it is none.

    The number must not add axes to the other operand.
    """
    for index in (0, 1) if len(node.inputs) == 2 else ():
        found, other = number(node.inputs[index]), node.inputs[1 - index]
        if (
            found is not None
            and other is not None
            and not is_constant(other)
            and _broadcasts(node.inputs[index], other)
        ):
            return other, found
    return None, 0.0


def factor_of(node: ir.Node) -> tuple[ir.Value | None, float]:
    """Return what a Mul or Div scales by a number, and the factor; `(None, 1)` where it is no such node."""
    if node.domain == "" and node.op_type in ("Mul", "Div"):
        scaled, found = number_beside(node)
        if scaled is not None and (node.op_type == "Mul" or (scaled is node.inputs[0] and found != 0)):
            return scaled, found if node.op_type == "Mul" else 1 / found
    return None, 1.0


def upper_bound(node: ir.Node) -> float | None:
    """Return the upper bound of a Clip from 0 to a positive number, else `None`."""
    if node.op_type != "Clip" or node.domain or len(node.inputs) != 3 or number(node.inputs[1]) != 0:
        return None
    bound = number(node.inputs[2])
    return bound if bound is not None and bound > 0 else None


def _broadcasts(small: ir.Value | None, value: ir.Value) -> bool:
    rank = len(small.shape) if small is not None and small.shape is not None else 0
    return rank == 0 or (value.shape is not None and rank <= len(value.shape))


def put_in_place_of(node: ir.Node, operator: str, inputs: Sequence[ir.Value], attributes: Mapping[str, float]) -> None:
    """Let `operator` give what `node` gave, under the same name, type and shape; `node` is gone then.

    Args:
        node: Has one output.
        operator: One of ONNX's own.
        inputs: What it reads, made before `node`.
        attributes: The operator's.
    """
    graph, given = node.graph, node.outputs[0]
    if graph is None:
        raise ValueError(f"{node.name} is in no graph")
    made = ir.Value(name=f"{given.name}_f", type=given.type, shape=given.shape)
    new = ir.node(operator, list(inputs), dict(attributes), outputs=[made], name=node.name)
    graph.insert_before(node, [new])
    name = given.name
    given.replace_all_uses_with(made, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    made.name = name
