"""What a candidate makes of each layer: integers, weights that are only stored smaller, or what it was."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import weights
from edgeml_compress.graph.naming import graphs
from edgeml_compress.placement import node_name
from edgeml_compress.results import LayerForm
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.exporters.onnx_writer.weights import Form, form_of

USUAL_BITS: Final = 8  # of activations; others are told


def forms(model: ir.Model, encodings: Encodings) -> tuple[LayerForm, ...]:
    """Return the form of each layer, those in bodies of If, Loop and Scan too, in the graph's order.

    Example:
        >>> [layer.form for layer in forms(draft.model, draft.encodings)]
        ['int8', 'int8 weight-only']
    """
    held = weights(model)
    found: list[LayerForm] = []
    for graph in graphs(model):
        for node in graph:
            own = [i for i, value in enumerate(node.inputs) if value is not None and value.name in held]
            if own:
                kinds = dict.fromkeys(_form(node, index, encodings) for index in own)
                found.append(LayerForm(node=node_name(node), operator=node.op_type, form=" and ".join(kinds)))
    return tuple(found)


def _form(node: ir.Node, index: int, encodings: Encodings) -> str:
    """Return the form of the weight that is input `index` of a node, as the exporters write it."""
    weight = str(getattr(node.inputs[index], "name", ""))
    if weight in encodings.float16:
        return "float16"
    encoding = encodings.tensors.get(weight)
    if encoding is None:
        return "float32"
    form = form_of(node, index, encodings)
    if form is Form.STATIC:
        return f"int{encoding.bits}{_width(node, weight, encodings)}"
    if form is Form.DYNAMIC:
        return f"int{encoding.bits} dynamic"
    return f"int{encoding.bits} {'weight-only' if encoding.block is None else f'in blocks of {encoding.block}'}"


def _width(node: ir.Node, weight: str, encodings: Encodings) -> str:
    names = (value.name for value in node.inputs if value is not None and value.name != weight)
    known = (encodings.tensors[name] for name in names if name is not None and name in encodings.tensors)
    bits = next((encoding.bits for encoding in known), USUAL_BITS)
    return "" if bits == USUAL_BITS else f" with {bits}-bit activations"
