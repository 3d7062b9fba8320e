"""What a candidate leaves in float, and why: each node computes in integers, or has a line that says what keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from edgeml_compress.candidates import LEAST_VALUES
from edgeml_compress.graph.layers import Weight, is_constant, sole_user, untouched, weights
from edgeml_compress.passes import Draft
from edgeml_compress.placement import fuses, node_name
from edgeml_compress.results import LayerForm

NOT_COMPUTED_WITH = ("float", "weight-only", "in blocks")
"""In the forms of layers that compute in float, however their weights are stored."""


def left_in_float(draft: Draft, layers: Sequence[LayerForm]) -> tuple[str, ...]:
    """Return a line for each node that computes in float, with the reason: "Conv conv_3: its weight is computed, not a constant".

    What a pass or the graph itself gives as the reason comes first. Where no activation is an integer for all inferences, only
    layers have lines: that all else computes in float is what such a candidate is.

    Args:
        draft: What the candidate's recipe made.
        layers: What that makes of each layer, see `forms.forms`.
    """
    integer = {_layer_title(layer) for layer in layers if computes_in_integers(layer)}
    nested = {title(node) for graph in draft.model.graph.subgraphs() for node in graph}
    reasons = (*draft.kept, *untouched(draft.model, draft.scheme.operators))
    found = {line: None for line in reasons if _about(line) not in integer}
    told = {*integer, *nested, *(_about(line) for line in found)}
    held = weights(draft.model)
    fixed = any(name not in held for name in draft.encodings.tensors)
    sizes = _weight_sizes(held)
    for layer in layers:
        if _layer_title(layer) not in told:
            large = sizes.get(_layer_title(layer), 0) >= LEAST_VALUES
            found[f"{_layer_title(layer)}: {_why_layer(layer, draft, fixed=fixed, large=large)}"] = None
    told |= {_layer_title(layer) for layer in layers}
    for node in draft.model.graph if fixed else ():
        if title(node) not in told and _flows(node) and not _in_integers(node, draft):
            found[f"{title(node)}: {_why(node, draft)}"] = None
    return tuple(found)


def computes_in_integers(layer: LayerForm) -> bool:
    """Tell whether a layer computes in integers; else its weights at most are stored so."""
    return not any(word in layer.form for word in NOT_COMPUTED_WITH)


def title(node: ir.Node) -> str:
    """Return what a line about a node begins with: its operator and name."""
    return f"{node.op_type} {node_name(node)}"


def _layer_title(layer: LayerForm) -> str:
    return f"{layer.operator} {layer.node}"


def _about(line: str) -> str:
    return line.partition(": ")[0]


def _why_layer(layer: LayerForm, draft: Draft, *, fixed: bool, large: bool) -> str:
    """Return why a layer computes in float that neither a pass nor the graph has a reason for: the recipe left it out."""
    if layer.form == "float32" and large:
        return "its weight stays in float32, since smaller forms cost the answers more"
    if layer.form == "float32":
        return f"its weight has fewer than {LEAST_VALUES} values, whose scales would cost what integers save"
    if layer.form == "float16":
        return "its weight is in half precision, since integers would cost the answers more"
    if fixed:
        return "its activations stay in float, since in integers the answers did not hold or it was slower"
    if draft.encodings.dynamic:
        return "only its weight is stored in integers, since the target finds no scale for its input at run time"
    return "only its weight is stored in integers, which is what this candidate is"


def _weight_sizes(held: Mapping[str, Weight]) -> dict[str, int]:
    """Return how many values the largest weight of each layer holds, by the layer's title."""
    found: dict[str, int] = {}
    for weight in held.values():
        size = weight.values.size
        for use in weight.value.uses():
            found[title(use.node)] = max(found.get(title(use.node), 0), size)
    return found


def _why(node: ir.Node, draft: Draft) -> str:
    """Return why a node without weights computes in float."""
    others = {v.dtype for v in _floats(node)} - {ir.DataType.FLOAT}
    if others:
        return f"it computes in {', '.join(sorted(str(t) for t in others))}, and float32 is what becomes integers"
    if node.op_type not in draft.scheme.operators:
        return "the target computes this operator in float"
    return "it stands between nodes that stay in float"


def _floats(node: ir.Node) -> list[ir.Value]:
    """Return the values of a floating type that flow through a node, constants aside."""
    values = [v for v in (*node.inputs, *node.outputs) if v is not None and not is_constant(v)]
    return [v for v in values if v.dtype is not None and v.dtype.is_floating_point()]


def _flows(node: ir.Node) -> bool:
    """Tell whether a node makes floats of floats: what only reads a shape or compares has nothing to quantize."""
    values = _floats(node)
    return any(v in values for v in node.outputs) and any(v in values for v in node.inputs)


def _in_integers(node: ir.Node, draft: Draft) -> bool:
    """Tell whether all floats around a node are integers, or lie within one kernel together with a node that is fused."""
    if node.op_type not in draft.scheme.operators:
        return False
    known = draft.encodings.tensors
    return all(v.name in known or _within_a_kernel(v, draft) or _result(v, node, draft) for v in _floats(node))


def _within_a_kernel(value: ir.Value, draft: Draft) -> bool:
    maker, user = value.producer(), sole_user(value)
    if maker is None or user is None:
        return False
    return any(fuses(fusion, maker, user) for fusion in draft.scheme.fusions)


def _result(value: ir.Value, node: ir.Node, draft: Draft) -> bool:
    return value in node.outputs and node.op_type in draft.scheme.float_results
