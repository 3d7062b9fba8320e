"""Undo what ONNX's converter writes around a Softmax from before opset 13: Flatten, Softmax, Reshape to what it was."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import sole_user
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.patterns import put_in_place_of
from edgeml_compress.rewrites import Said

SAID: Final = Said("Freed {} from reshaping.", "Softmax layer", "Since opset 13 it runs over one axis as it is.")


def unflatten_softmax(model: ir.Model) -> int:
    """Let every Softmax that ran over a flattened last axis run over that axis itself.

    Source: ONNX, Softmax: up to opset 12 it flattened everything from its axis on; from 13 on it runs over one axis.
    """
    found = 0
    for node in [node for graph in graphs(model) for node in graph]:
        fed = _flattened(node)
        if fed is not None:
            put_in_place_of(node, "Softmax", [fed], {"axis": -1})
            found += 1
    return found


def _flattened(node: ir.Node) -> ir.Value | None:
    """Return x of Reshape(Softmax(Flatten(x)), Shape(x)) where only the last axis was left behind the cut."""
    if node.op_type != "Reshape" or node.domain or len(node.inputs) != 2:
        return None
    softmax, shape = (value.producer() if value is not None else None for value in node.inputs)
    if softmax is None or shape is None or softmax.op_type != "Softmax" or shape.op_type != "Shape":
        return None
    flat = softmax.inputs[0].producer() if softmax.inputs[0] is not None else None
    fed = shape.inputs[0]
    if flat is None or flat.op_type != "Flatten" or flat.inputs[0] is not fed or fed is None or fed.shape is None:
        return None
    alone = sole_user(softmax.outputs[0]) is node and sole_user(flat.outputs[0]) is softmax
    last = len(fed.shape) - 1
    over_the_last = softmax.attributes.get_int("axis", -1) == -1 and flat.attributes.get_int("axis", 1) in (last, -1)
    return fed if alone and over_the_last else None
