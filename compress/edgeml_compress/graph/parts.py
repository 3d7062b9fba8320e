"""Parts of a graph: what lies between some of its tensors and others, cut out at the price of the part, not of the whole.

`ir.convenience.extract` looks at every value and node of the graph for each part, which makes taking a network apart layer
by layer quadratic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant
from edgeml_compress.graph.removing import bodies


class Parts:
    """Cuts parts out of one model, which must not change meanwhile."""

    def __init__(self, model: ir.Model) -> None:
        self.nodes = tuple(model.graph)
        self._model = model
        self._at = {node: index for index, node in enumerate(self.nodes)}
        for index, node in enumerate(self.nodes):
            self._at.update((inner, index) for body in bodies(node) for inner in body)

    def place(self, node: ir.Node) -> int:
        """Return where in the main graph's order a node stands; one in a body stands where what holds the body does."""
        return self._at[node]

    def between(self, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value]) -> ir.Model:
        """Return what computes `outputs` from `inputs`, a copy that shares its tensors with the model.

        Args:
            inputs: Tensors of the main graph; what the outputs depend on lies behind them.
            outputs: Tensors that nodes of the main graph give.

        Raises:
            ValueError: The outputs depend on a graph input that is not among `inputs`.
        """
        given, known = set(inputs), self._model.graph
        nodes, read = _behind([v for v in outputs if v not in given], lambda value: value in given)
        missing = sorted(str(v.name) for v in read - given if not is_constant(v) and v.producer() is None)
        if missing:
            raise ValueError(f"nothing gives {', '.join(missing)}")
        view = ir.GraphView(
            inputs,
            outputs,
            nodes=sorted(nodes, key=self._at.__getitem__),
            initializers=sorted((v for v in read - given if is_constant(v)), key=lambda v: str(v.name)),
            opset_imports=dict(known.opset_imports),
            name=known.name,
        )
        functions = list(self._model.functions.values())
        return ir.Model(view.clone(), ir_version=self._model.ir_version, functions=functions)


def needed(node: ir.Node, known: Callable[[ir.Value], bool]) -> set[ir.Value]:
    """Return the tensors that are `known` from which a node can be computed, looking no further back than these."""
    _, read = _behind(list(read_by(node)), known)
    return {value for value in read if known(value)}


def read_by(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what a node reads of its own graph, also from within its bodies."""
    yield from (value for value in node.inputs if value is not None)
    for body in bodies(node):
        for inner in body:
            yield from (v for v in inner.inputs if v is not None and v.graph is node.graph)
        yield from (v for v in body.outputs if v.graph is node.graph)


def _behind(values: Sequence[ir.Value], known: Callable[[ir.Value], bool]) -> tuple[set[ir.Node], set[ir.Value]]:
    """Return the nodes that some tensors are computed by, and all tensors on the way, back to what is known."""
    nodes: set[ir.Node] = set()
    read: set[ir.Value] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if value in read:
            continue
        read.add(value)
        producer = value.producer()
        if producer is not None and producer not in nodes and not known(value):
            nodes.add(producer)
            waiting.extend(read_by(producer))
    return nodes, read
