"""Names: every value and node of a model, bodies of If and Loop included, has one of its own, for weights are told by name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx_ir as ir


def graphs(model: ir.Model) -> list[ir.Graph]:
    """Return the main graph and the bodies of If, Loop and Scan, however deep; an outer one stands before its inner ones."""
    return [model.graph, *model.graph.subgraphs()]


def name_uniquely(model: ir.Model) -> None:
    """Name what has no name, and rename what has one that stands for something else already; inputs and outputs keep theirs.

    ONNX lets two branches of an If use one name for two things.
    """
    taken: set[str] = set()
    for value in _values(model):
        name = _free(value.name or "v", taken)
        taken.add(name)
        if value.name != name:
            value.name = name
    nodes: set[str] = set()
    for graph in graphs(model):
        for node in graph:
            node.name = _free(node.name or f"{node.op_type}_{node.outputs[0].name}", nodes)
            nodes.add(node.name)


class Constants:
    """Adds constants to a model's main graph under names that nothing else in the model has.

    It looks at the model's names once, so make one for each rewrite, which may give names on but not invent others.
    """

    def __init__(self, model: ir.Model) -> None:
        self._graph = model.graph
        self._taken = {value.name for value in _values(model) if value.name}

    def fresh(self, name: str) -> str:
        """Return `name`, with a number behind it where it is taken; from now on it is."""
        free = _free(name, self._taken)
        self._taken.add(free)
        return free

    def add(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        """Return an initializer that holds `array`; where `name` is taken it gets a number behind it."""
        free = self.fresh(name)
        tensor = ir.tensor(array, name=free)
        made = ir.Value(name=free, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._graph.register_initializer(made)
        return made


def _values(model: ir.Model) -> Iterator[ir.Value]:
    """Yield every value once, those first that must keep their names."""
    seen: set[ir.Value] = set()
    ports = [*model.graph.inputs, *model.graph.outputs]
    for graph in graphs(model):
        made = (value for node in graph for value in node.outputs)
        for value in (*ports, *graph.inputs, *graph.initializers.values(), *made):
            if value not in seen and not _left_out(value):
                seen.add(value)
                yield value


def _left_out(value: ir.Value) -> bool:
    """Tell whether a value is an output that its node does not give: ONNX writes an empty name there."""
    return value.name == "" and not value.uses() and not value.is_graph_output()


def _free(name: str, taken: set[str]) -> str:
    free, number = name, 0
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
