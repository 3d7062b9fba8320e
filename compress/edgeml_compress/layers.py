"""Where a network's weights are: which input of which operator holds them, and the axis of their output channels.

Weights in the bodies of If, Loop and Scan count, too: they can be stored smaller, while their operators compute in float.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.naming import graphs

AxisOf = Callable[[ir.Node, int], int | None]


def _transposed_conv(node: ir.Node, rank: int) -> int | None:
    grouped = node.attributes.get_int("group", 1) > 1  # then the axis holds the channels of one group only
    return None if grouped else 1


def _gemm(node: ir.Node, rank: int) -> int | None:
    return 0 if node.attributes.get_int("transB", 0) else 1


WEIGHTS: Final[Mapping[str, tuple[tuple[int, ...], AxisOf]]] = {
    "Conv": ((1,), lambda node, rank: 0),
    "ConvTranspose": ((1,), _transposed_conv),
    "Gemm": ((1,), _gemm),
    "MatMul": ((1,), lambda node, rank: rank - 1),
    "LSTM": ((1, 2), lambda node, rank: 1),
    "GRU": ((1, 2), lambda node, rank: 1),
    "RNN": ((1, 2), lambda node, rank: 1),
    "Gather": ((0,), lambda node, rank: 0),
}
"""Operator -> which inputs hold weights, and along which axis their channels lie (`None`: one scale a tensor)."""


@dataclass(frozen=True)
class Weight:
    """A constant that an operator multiplies with.

    Args:
        value: The initializer, float32.
        axis: Its channel axis, `None` when its users disagree or have none.
        operators: Operators that use it.
        nested: Whether all of them stand in the bodies of If, Loop or Scan, where they compute in float.
    """

    value: ir.Value
    axis: int | None
    operators: frozenset[str]
    nested: bool = False

    @property
    def name(self) -> str:
        """The initializer's name."""
        return name_of(self.value)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """What it holds, of the initializer's shape."""
        return constant(self.value)


def weights(model: ir.Model) -> dict[str, Weight]:
    """Return the weights by name; one that several operators share stands there once.

    Args:
        model: As `prepare` or `lift` left it: names tell its values apart, and bodies read constants of the main graph.
    """
    found: dict[str, Weight] = {}
    for graph in graphs(model):
        for node in graph:
            for value, axis in _weights_of(node):
                name = name_of(value)
                before = found.get(name)
                if before is not None:
                    axis = axis if axis == before.axis else None
                operators = frozenset({node.op_type}) | (before.operators if before else frozenset())
                nested = graph is not model.graph and (before is None or before.nested)
                found[name] = Weight(value, axis, operators, nested)
    return found


def _weights_of(node: ir.Node) -> Iterator[tuple[ir.Value, int | None]]:
    indexes, axis_of = WEIGHTS.get(node.op_type, ((), _gemm)) if node.domain == "" else ((), _gemm)
    for index in indexes:
        value = node.inputs[index] if index < len(node.inputs) else None
        if (
            value is not None
            and is_constant(value)
            and value.dtype == ir.DataType.FLOAT
            and not value.is_graph_output()
        ):
            yield value, axis_of(node, len(value.shape or ()))


def name_of(value: ir.Value) -> str:
    """Return a value's name.

    Raises:
        ValueError: It has none, which `prepare` sees to.
    """
    if not value.name:
        raise ValueError("a value has no name: prepare the model first")
    return value.name


def is_constant(value: ir.Value) -> bool:
    """Tell whether a value is an initializer that nobody can override."""
    return value.const_value is not None and value.is_initializer() and not value.is_graph_input()


def constant(value: ir.Value) -> npt.NDArray[np.float32]:
    """Return an initializer's content.

    Raises:
        ValueError: The value is no constant.
    """
    if value.const_value is None:
        raise ValueError(f"{value.name} is no constant")
    return np.asarray(value.const_value.numpy())


def sole_user(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads a value, or `None` when there are none or more, or the graph returns it."""
    uses = tuple(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None
