"""What a candidate makes of each layer: integers, weights that are only stored smaller, or what it was."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.layers import weights
from edgeml_compress.naming import graphs
from edgeml_compress.placement import node_name
from edgeml_compress.results import LayerForm
from edgeml_targets.contract.encodings import Encoding, Encodings

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
            own = [str(v.name) for v in node.inputs if v is not None and v.name in held]
            if own:
                kinds = dict.fromkeys(_form(node, name, encodings) for name in own)
                found.append(LayerForm(node=node_name(node), operator=node.op_type, form=" and ".join(kinds)))
    return tuple(found)


def _form(node: ir.Node, weight: str, encodings: Encodings) -> str:
    if weight in encodings.float16:
        return "float16"
    encoding = encodings.tensors.get(weight)
    if encoding is None:
        return "float32"
    inputs = [str(v.name) for v in node.inputs if v is not None and not v.is_initializer()]
    static = [encodings.tensors[name] for name in inputs if name in encodings.tensors]
    if static:
        return _integers(encoding, static[0])
    if any(name in encodings.dynamic for name in inputs):
        return f"int{encoding.bits} dynamic"
    return f"int{encoding.bits} {'weight-only' if encoding.block is None else f'in blocks of {encoding.block}'}"


def _integers(weight: Encoding, activation: Encoding) -> str:
    wide = "" if activation.bits == USUAL_BITS else f" with {activation.bits}-bit activations"
    return f"int{weight.bits}{wide}"
