"""Where integers go: which nodes compute in integers, and which of their tensors share one encoding.

The rules are common to all runtimes; which operators each is about, the target's scheme says:
- an operator computes in integers when all its float activations can have an encoding;
- an activation that is fused into its producer leaves no tensor between them, so that one gets none;
- what only moves values (pooling, reshaping, concatenation) has one encoding on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

import onnx_ir as ir

from edgeml_compress.ends import PRODUCTS, float_ends, sharing
from edgeml_compress.graph.layers import WEIGHTS, constant, is_constant, name_of, sole_user
from edgeml_compress.graph.sizes import sized_by_data
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.target import Fusion, Scheme


@dataclass(frozen=True)
class Placement:
    """Which tensors become integers.

    Args:
        groups: Activations by name; those of one group share one encoding.
        constants: Constants of elementwise operators.
        kept: Nodes that stay in float although the scheme names their operator, each with the reason.
        slow: Weights with an encoding that layers alone read which stay in float because integers would be slower: encoded,
            they would be taken for integer ones where their neighbours are.
    """

    groups: tuple[tuple[str, ...], ...]
    constants: tuple[str, ...]
    kept: tuple[str, ...]
    slow: tuple[str, ...] = ()


def place(
    model: ir.Model,
    scheme: Scheme,
    encodings: Encodings,
    usable: Mapping[str, bool],
    layers: Collection[str] | None = None,
) -> Placement:
    """Return where integers go.

    Where only some `layers` shall be integers, an operator without weights stays in float if a layer that is left out
    feeds it, directly or through others of its kind, or if no chosen layer is reached from it: there it would only be
    rounded.

    Args:
        model: A prepared graph.
        scheme: Which operators the target computes in integers, and how they go together.
        encodings: What its weights have already; an operator whose weight has none stays in float.
        usable: Whether a calibration found a range for each float activation.
        layers: Names of the layers (products of whatever kind, also of two activations) that shall be integers, and of
            other nodes that shall be in any case; `None`: every node that can.
    """
    known = set(scheme.operators)
    wanted = [n for n in model.graph if n.domain == "" and n.op_type in known and _activations(n)]
    slow = {node: why for node in wanted if (why := _why_slow(node, scheme)) is not None}
    for node in sharing(slow):
        del slow[node]
    if layers is not None:
        wanted = _chosen(wanted, set(layers))
    sized = sized_by_data(model)
    reasons = {
        node: slow.get(node) or _why_two(node, scheme) or _reason_for_float(node, encodings, usable, sized)
        for node in wanted
    }
    integer = [node for node in wanted if reasons[node] is None]
    ends = float_ends(integer, scheme, asked={node for node in integer if node_name(node) in (layers or ())})
    reasons |= ends
    slow |= {node: why for node, why in ends.items() if node.op_type in PRODUCTS}
    integer = [node for node in integer if node not in ends]
    inside = _fused_away(integer, scheme.fusions)
    values = {v for node in integer for v in _activations(node) if v not in inside}
    values -= _read_in_float(integer, scheme.float_results)
    weights = {name_of(weight) for node in slow if (weight := node.inputs[1]) is not None}
    return Placement(
        groups=_groups(integer, values, scheme.same_scale),
        constants=tuple(sorted({name_of(v) for n in integer for v in _constants(n, scheme.constant_operands)})),
        kept=tuple(f"{_title(node)}: {reason}" for node, reason in reasons.items() if reason is not None),
        slow=tuple(sorted(weights & encodings.tensors.keys())),
    )


def _chosen(wanted: list[ir.Node], names: set[str]) -> list[ir.Node]:
    """Return the nodes of `wanted`, in the graph's order, that are named or follow those that are."""
    named = {node for node in wanted if node_name(node) in names}
    free = {node for node in wanted if node.op_type not in WEIGHTS and node not in named}
    others = set(wanted) - named - free
    for node in wanted:  # in the graph's order, so that what feeds a node is decided before it
        if node in free and any(p in others for p in node.predecessors()):
            free.discard(node)
            others.add(node)
    near, reached = list(named), set(named)
    while near:
        node = near.pop()
        for other in (*node.predecessors(), *node.successors()):
            if other in free and other not in reached:
                reached.add(other)
                near.append(other)
    return [node for node in wanted if node in reached]


def _why_slow(node: ir.Node, scheme: Scheme) -> str | None:
    weight = node.inputs[1] if node.op_type in ("Conv", "MatMul") else None
    if weight is None or weight.shape is None:
        return None
    if node.op_type == "MatMul":
        whole = scheme.activation_products or not is_constant(weight) or len(weight.shape) == 2
        return None if whole else "it multiplies with a stack of matrices, which the target computes in float"
    summands = math.prod(size for size in weight.shape[1:] if isinstance(size, int))
    if summands >= scheme.least_summands:
        return None
    return f"it adds up {summands} products for a value, and integers pay from {scheme.least_summands} on"


def _why_two(node: ir.Node, scheme: Scheme) -> str | None:
    """Return why a product of two activations stays in float."""
    if scheme.activation_products or node.op_type not in PRODUCTS:
        return None
    if any(value is None or is_constant(value) for value in node.inputs[:2]):
        return None
    return "it multiplies two activations, which the target computes in float"


def _reason_for_float(
    node: ir.Node, encodings: Encodings, usable: Mapping[str, bool], sized: Set[ir.Value]
) -> str | None:
    if node.op_type == "MatMul" and node.inputs[0] is not None and is_constant(node.inputs[0]):
        return "its weight stands on the left"
    for index in WEIGHTS.get(node.op_type, ((), None))[0]:
        weight = node.inputs[index] if index < len(node.inputs) else None
        if node.op_type in ("MatMul", "Gather") and weight is not None and not is_constant(weight):
            continue  # a product of two activations, or a selection from one
        if node.op_type == "Gather":
            return "it selects from a constant"
        if weight is None or weight.name not in encodings.tensors:
            return "its weight is no constant with an encoding"
        if encodings.tensors[name_of(weight)].block is not None:
            return "its weight is in blocks, which no integer kernel takes"
    for value in _activations(node):
        if value in sized:  # ONNX Runtime 1.32: an integer Add or Mul of an empty tensor ends the process
            return "the size of a tensor around it depends on the data, and integer kernels fail on an empty one"
        found = usable.get(name_of(value))
        if found is None:
            return f"{value.name} was not calibrated"
        if not found:
            return f"{value.name} is always 0 or not finite"
    return None


def _activations(node: ir.Node) -> list[ir.Value]:
    """Return the float tensors that flow through a node; not its weights, biases and parameters."""
    tensors = [*node.inputs, *node.outputs]
    return [v for v in tensors if v is not None and v.dtype == ir.DataType.FLOAT and not is_constant(v) and v.name]


def _constants(node: ir.Node, operators: Collection[str]) -> list[ir.Value]:
    if node.op_type not in operators:
        return []
    return [v for v in node.inputs if v is not None and v.dtype == ir.DataType.FLOAT and is_constant(v)]


def _read_in_float(integer: list[ir.Node], float_results: Collection[str]) -> set[ir.Value]:
    """Return the results of such operators that no integer node reads: an integer between would only cost time and accuracy."""
    readers = set(integer)
    results = [node.outputs[0] for node in integer if node.op_type in float_results]
    return {value for value in results if not any(use.node in readers for use in value.uses())}


def _fused_away(integer: list[ir.Node], fusions: Collection[Fusion]) -> set[ir.Value]:
    """Return the tensors between a producer and the activation that the runtime fuses into it."""
    inside, integers = set(), set(integer)
    for node in integer:
        user = sole_user(node.outputs[0])
        if user is not None and user in integers and any(fuses(fusion, node, user) for fusion in fusions):
            inside.add(node.outputs[0])
    return inside


def fuses(fusion: Fusion, producer: ir.Node, user: ir.Node) -> bool:
    """Tell whether a runtime that has this fusion computes `user`, which alone reads what `producer` makes, within its kernel."""
    if producer.op_type not in fusion.after or user.op_type != fusion.activation:
        return False
    return fusion.limits is None or _limits(user) == fusion.limits


def _limits(clip: ir.Node) -> tuple[float, ...] | None:
    """Return the lowest and the highest value of a Clip, `None` where one is not given as a constant."""
    bounds = [v for v in clip.inputs[1:3] if v is not None and is_constant(v)]
    return tuple(float(constant(v)) for v in bounds) if len(bounds) == 2 else None


def _groups(integer: list[ir.Node], values: set[ir.Value], same_scale: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the names of `values`, those together that an operator only moves from one to the other."""
    leader = {value: value for value in values}

    def lead(value: ir.Value) -> ir.Value:
        while leader[value] is not value:
            leader[value] = leader[leader[value]]  # else a long chain is walked again for each of its members
            value = leader[value]
        return value

    for node in integer:
        if node.op_type in same_scale:
            first, *others = [v for v in _activations(node) if v in values]
            for other in others:
                leader[lead(other)] = lead(first)
    grouped: dict[ir.Value, list[str]] = {}
    for value in sorted(values, key=name_of):
        grouped.setdefault(lead(value), []).append(name_of(value))
    return tuple(sorted(tuple(names) for names in grouped.values()))


def node_name(node: ir.Node) -> str:
    """Return a node's name, or its first output's where it has none."""
    return node.name or name_of(node.outputs[0])


def _title(node: ir.Node) -> str:
    return f"{node.op_type} {node_name(node)}"
