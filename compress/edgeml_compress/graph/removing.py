"""Remove what nobody reads. The body of an If that is gone reads nothing either, which onnx-ir does not see to."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

from edgeml_compress.graph.naming import graphs


def remove_unused(model: ir.Model) -> None:
    """Remove nodes and constants that no output depends on, also in the bodies of If, Loop and Scan."""
    while True:
        holders = [node for graph in graphs(model) for node in graph if bodies(node)]
        common.RemoveUnusedNodesPass()(model)
        gone = [node for node in holders if node.graph is None]
        for node in gone:
            forget_bodies(node)
        if not gone:
            return


def bodies(node: ir.Node) -> list[ir.Graph]:
    """Return the graphs that a node holds, those within them included."""
    held: list[ir.Graph] = []
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            held.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            held.extend(attribute.as_graphs())
    return [deeper for body in held for deeper in (body, *body.subgraphs())]


def forget_bodies(node: ir.Node) -> None:
    """Let the bodies of a node that is gone read nothing, so that what they read counts as unused."""
    for body in bodies(node):
        for inner in body:
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
