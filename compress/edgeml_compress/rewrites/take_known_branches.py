"""Put the branch that is taken in the place of an If whose condition is a constant."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.removing import forget_bodies
from edgeml_compress.rewrites import Said

SAID: Final = Said(
    "Decided {} beforehand.", "condition", "A condition that is the same at every inference need not be asked."
)


def take_known_branches(model: ir.Model) -> int:
    """Unfold every If whose condition is known; return how many those were."""
    taken = 0
    for graph in graphs(model):
        for node in list(graph):
            branch = _known_branch(node)
            if branch is not None and node.graph is graph:
                _unfold(model, node, branch)
                taken += 1
    return taken


def _known_branch(node: ir.Node) -> ir.Graph | None:
    if node.op_type != "If" or node.domain or node.inputs[0] is None or not is_constant(node.inputs[0]):
        return None
    condition = node.inputs[0].const_value
    if condition is None:
        return None
    branch = node.attributes["then_branch" if bool(condition.numpy().reshape(-1)[0]) else "else_branch"].as_graph()
    makers = [value.producer() for value in branch.outputs]
    made_inside = all(maker is not None and maker.graph is branch for maker in makers)
    return branch if made_inside and len(set(branch.outputs)) == len(makers) else None


def _unfold(model: ir.Model, node: ir.Node, branch: ir.Graph) -> None:
    outer = node.graph
    if outer is None:
        raise ValueError(f"{node.name} is in no graph")
    for name, value in list(branch.initializers.items()):
        del branch.initializers[name]
        model.graph.register_initializer(value)
    nodes, results = list(branch), list(branch.outputs)
    branch.outputs.clear()
    branch.remove(nodes)
    outer.insert_before(node, nodes)
    kept = [(output.name, output.type, output.shape) for output in node.outputs]
    for output, result in zip(node.outputs, results, strict=True):
        output.replace_all_uses_with(result, replace_graph_outputs=True)
    outer.remove(node, safe=True)
    forget_bodies(node)
    for result, (given, kind, shape) in zip(results, kept, strict=True):
        result.name, result.type = given or result.name, kind or result.type
        result.shape = result.shape if shape is None else shape
