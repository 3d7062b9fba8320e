"""The walk over a graph's nodes: each is folded, or taken over by the one before it, or written by its operator's function.

Of an If whose condition is known only that branch is written. Of another both are, and a SELECT_V2 takes one result: branches
compute without effects, so what is thrown away costs time only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import onnx_ir as ir
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.elements import elements
from edgeml_targets.exporters.tflite_writer.folding import FOLDED, constant, fold
from edgeml_targets.exporters.tflite_writer.forms import Form, Forms
from edgeml_targets.exporters.tflite_writer.fusion import Fused, fuse
from edgeml_targets.exporters.tflite_writer.layouts import plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible, naming, naming_place, uncovered
from edgeml_targets.exporters.tflite_writer.registry import entry_of

_IF: Final = "If"


@dataclass(frozen=True)
class Walk:
    """What is the same for all nodes of a model.

    Args:
        forms: All values so far.
        opset: The version of ONNX's operators.
        encoded: Names of weights whose integers are settled.
        taken_over: Nodes that one before them wrote too.
    """

    forms: Forms
    opset: int
    encoded: frozenset[str]
    taken_over: set[ir.Node] = field(default_factory=set)


def write_graph(graph: ir.Graph, walk: Walk) -> None:
    """Note a graph's constants and write the nodes that its outputs depend on.

    Raises:
        EdgemlError: Operators have no function here (it names all of them), or one cannot be expressed.
    """
    note_constants(graph, walk.forms)
    nodes = needed(graph)
    require_covered(nodes)
    write_nodes(nodes, walk)


def note_constants(graph: ir.Graph, forms: Forms) -> None:
    """Note the initializers and what the Constant nodes hold."""
    for name, value in graph.initializers.items():
        if value.const_value is not None:
            with naming_place(f"the tensor {name!r}"):
                forms.constants[value] = elements(value.const_value)
    for node in needed(graph):
        if node.op_type == "Constant":
            with naming(node):
                forms.constants[node.outputs[0]] = constant(node)


def needed(graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes that the outputs depend on, in the order in which they run."""
    wanted = [value.producer() for value in graph.outputs]
    found: set[ir.Node] = set()
    while wanted:
        node = wanted.pop()
        if node is not None and node not in found:
            found.add(node)
            wanted += [value.producer() for value in node.inputs if value is not None]
            for branch in _branches(node):
                inner = [value for n in ir.traversal.RecursiveGraphIterator(branch) for value in n.inputs]
                wanted += [value.producer() for value in (*inner, *branch.outputs) if value is not None]
    return [node for node in graph if node in found]


def require_covered(nodes: Iterable[ir.Node]) -> None:
    """Raise unless every operator has a function here.

    Raises:
        EdgemlError: It names all that have none.
    """
    missing = [node for node in nodes if not (_folds(node) or _is_if(node) or entry_of(node.domain, node.op_type))]
    if missing:
        raise uncovered(missing)


def write_nodes(nodes: Iterable[ir.Node], walk: Walk) -> None:
    """Write nodes in turn."""
    for node in nodes:
        if node in walk.taken_over:
            continue
        with naming(node):
            if fold(node, walk.forms, walk.opset):
                continue
            if _is_if(node):
                _write_if(node, walk)
                continue
            entry = entry_of(node.domain, node.op_type)
            if entry is None:
                raise uncovered([node])
            fused = fuse(node, entry, walk.forms.constants, walk.encoded)
            walk.taken_over.update(fused.covered)
            entry.write(Operation(node, entry, fused, walk.forms, walk.opset))


def write_late(value: ir.Value, walk: Walk) -> None:
    """Write the node that computes a value from free sizes: until now only its known elements mattered."""
    node = value.producer()
    if node is None:
        raise Inexpressible(f"{value.name!r} depends on a size that is free")
    with naming(node):
        entry = entry_of(node.domain, node.op_type)
        if entry is None:
            raise Inexpressible("it computes with a size that is free")
        entry.write(Operation(node, entry, Fused(node.outputs[0]), walk.forms, walk.opset))


def _write_if(node: ir.Node, walk: Walk) -> None:
    forms, condition = walk.forms, node.inputs[0]
    if condition is None:
        raise Inexpressible("its condition is missing")
    known = forms.constants.get(condition)
    then, otherwise = _branches(node)
    if known is not None:
        branch = then if known.reshape(-1)[0] else otherwise
        write_graph(branch, walk)
        for value, inner in zip(node.outputs, branch.outputs, strict=True):
            forms.alias(value, inner)
        return
    write_graph(then, walk)
    write_graph(otherwise, walk)
    rank = len(forms.shape(condition))
    chosen = forms.as_it_is(condition, plain(rank))
    for value, a, b in zip(node.outputs, then.outputs, otherwise.outputs, strict=True):
        forms.add(value, _selected(chosen, a, b, forms))


def _selected(chosen: Form, then: ir.Value, otherwise: ir.Value, forms: Forms) -> Form:
    if forms.shape(then) != forms.shape(otherwise):
        raise Inexpressible(f"its branches give {forms.shape(then)} and {forms.shape(otherwise)}")
    layout = plain(len(forms.shape(then)))
    sides = [
        _held(value, forms).tensor if value in forms.constants else forms.as_it_is(value, layout).tensor
        for value in (then, otherwise)
    ]
    like = _held(then, forms) if then in forms.constants else forms.as_it_is(then, layout)
    return forms.emit(Op.SELECT_V2, [chosen.tensor, *sides], replace(like, layout=layout), schema.SelectV2OptionsT())


def _held(value: ir.Value, forms: Forms) -> Form:
    array = forms.constants[value]
    return Form(forms.file.constant(array), array.shape, plain(array.ndim), array.dtype)


def _branches(node: ir.Node) -> list[ir.Graph]:
    """Return the branch for a condition that is true, and the other; none for other operators."""
    names = ("then_branch", "else_branch") if _is_if(node) else ()
    return [node.attributes[name].as_graph() for name in names]


def _is_if(node: ir.Node) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type == _IF


def _folds(node: ir.Node) -> bool:
    return node.domain in ("", "ai.onnx") and node.op_type in FOLDED
