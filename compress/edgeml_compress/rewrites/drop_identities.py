"""Drop nodes that hand on what they are given: Identity, and Dropout outside of training."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_compress.rewrites import Said

SAID: Final = Said("Dropped {}.", "identity node", "An identity hands on what it is given.")


def drop_identities(model: ir.Model) -> int:
    """Let the users of an identity read its input; one between a graph's input and its output stays."""
    return sum(_drop(graph) for graph in graphs(model))


def _drop(graph: ir.Graph) -> int:
    dropped = 0
    for node in list(graph):
        fed = node.inputs[0] if node.inputs else None
        if fed is None or not _hands_on(node):
            continue
        given = node.outputs[0]
        if given.is_graph_output():
            producer = fed.producer()
            if producer is None or fed.is_graph_output() or producer.graph is not graph:
                continue
            name, fed.name = given.name, None  # the output keeps its name, whoever makes it
            fed.type, fed.shape = given.type or fed.type, fed.shape if given.shape is None else given.shape
            given.replace_all_uses_with(fed, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            fed.name = name
        else:
            given.replace_all_uses_with(fed)
            graph.remove(node, safe=True)
        dropped += 1
    return dropped


def _hands_on(node: ir.Node) -> bool:
    if node.domain or node.op_type not in ("Identity", "Dropout"):
        return False
    mask_unused = all(not o.uses() and not o.is_graph_output() for o in node.outputs[1:])
    training = node.inputs[2] if len(node.inputs) > 2 else None
    return mask_unused and (training is None or _is_false(training))


def _is_false(value: ir.Value) -> bool:
    return value.const_value is not None and not value.const_value.numpy().any()
