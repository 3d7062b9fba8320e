"""Add constants and nodes to a graph, under names that nothing else in the model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding

_MOST_SHARED_BYTES: Final = 4096  # a constant up to this size is written once, however often it is asked for


class GraphWriter:
    """Writes into one model; a graph of its own for each kind of place would give two things one name."""

    def __init__(self, model: ir.Model) -> None:
        self._main = model.graph
        self._shared: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._taken = {value.name for value in all_values(model) if value.name}

    def fresh(self, name: str) -> str:
        """Return `name`, or with a number behind it when something has that name."""
        number, free = 0, name
        while free in self._taken:
            number += 1
            free = f"{name}{number}"
        self._taken.add(free)
        return free

    def constant(self, array: npt.NDArray[Any], name: str) -> ir.Value:
        """Return an initializer of the main graph that holds `array`; small ones of the same content are one."""
        key = (array.dtype.name, array.shape, array.tobytes() if array.nbytes <= _MOST_SHARED_BYTES else b"")
        if key[2] and key in self._shared:
            return self._shared[key]
        free = self.fresh(name)
        tensor = ir.tensor(array, name=free)
        value = ir.Value(name=free, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._main.register_initializer(value)
        if key[2]:
            self._shared[key] = value
        return value

    def node(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        names: Sequence[str],
        attributes: Mapping[str, int] | None = None,
    ) -> ir.Node:
        """Return a node, in no graph yet, whose outputs are called after `names`."""
        outputs = [ir.Value(name=self.fresh(name)) for name in names]
        return ir.node(operator, inputs, attributes or {}, outputs=outputs)


def all_values(model: ir.Model) -> list[ir.Value]:
    """Return every value of a model: inputs, initializers and what nodes give, also in the bodies of If and Loop."""
    graphs = [model.graph, *model.graph.subgraphs()]
    given = [value for graph in graphs for value in (*graph.inputs, *graph.initializers.values())]
    return given + [value for graph in graphs for node in graph for value in node.outputs]


def insert_at_head(graph: ir.Graph, nodes: Sequence[ir.Node]) -> None:
    """Insert nodes, in their order, before all others of a graph."""
    first = next(iter(graph), None)
    if first is None:
        graph.extend(nodes)
    else:
        graph.insert_before(first, nodes)


def replace_node(node: ir.Node, nodes: Sequence[ir.Node]) -> None:
    """Put nodes in the place of one; the last of them gives what it gave, under the same name."""
    graph, old, new = node.graph, node.outputs[0], nodes[-1].outputs[0]
    if graph is None:
        raise ValueError(f"{node.name} is in no graph")
    graph.insert_before(node, nodes)
    name, new.shape, new.type = old.name, old.shape, old.type
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    new.name = name


def scales(encoding: Encoding, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Return an encoding's scales as ONNX takes them: a scalar, or one a channel."""
    return np.asarray(encoding.scale if encoding.axis is not None else encoding.scale[0], dtype)


def zero_points(encoding: Encoding) -> npt.NDArray[Any]:
    """Return an encoding's zero points in its own integer type: a scalar, or one a channel."""
    return np.asarray(encoding.zero_point if encoding.axis is not None else encoding.zero_point[0], encoding.dtype)


def narrow_enough(encoding: Encoding) -> bool:
    """Tell whether an encoding's integers, stored alone, stand two a byte in ONNX's INT4."""
    return encoding.signed and encoding.bits <= 4


def axis_of(encoding: Encoding) -> dict[str, int]:
    """Return the attribute of QuantizeLinear and DequantizeLinear that names the channel axis."""
    return {} if encoding.axis is None else {"axis": encoding.axis}


def is_constant(value: ir.Value | None) -> bool:
    """Tell whether a value is an initializer."""
    return value is not None and value.const_value is not None and value.is_initializer()


def content(value: ir.Value) -> npt.NDArray[Any]:
    """Return what an initializer holds.

    Raises:
        ValueError: It is none.
    """
    if value.const_value is None:
        raise ValueError(f"{value.name} is no initializer")
    return np.asarray(value.const_value.numpy())
