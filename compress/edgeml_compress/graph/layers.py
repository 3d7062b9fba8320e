"""Where a network's weights are: which input of which operator holds them, and the axis of their output channels.

Weights in the bodies of If, Loop and Scan count, too: they can be stored smaller, while their operators compute in float.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.removing import bodies

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

LEAST_LISTED: Final = 256  # values of a constant that is worth a line when it stays in float


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


def untouched(model: ir.Model, operators: Collection[str] | None = None) -> tuple[str, ...]:
    """Return what stays in float for its place or its form, whatever the recipe, each with the reason.

    "Conv Conv_3: it lies in a branch of If_12, where activations stay in float". What a recipe leaves in float stands in its draft's `kept`.

    Args:
        model: As `prepare` left it.
        operators: Those that a target computes in integers; `None` asks for what every target leaves in float.
    """
    found = weights(model)
    nested = tuple(_nested_line(outer, node) for outer, node in _nested_layers(model, found))
    reasons = ((node, _why_untouched(node)) for graph in graphs(model) for node in graph)
    nodes = tuple(f"{node.op_type} {node.name}: {reason}" for node, reason in reasons if reason is not None)
    layers = [node for node in model.graph if any(v is not None and v.name in found for v in node.inputs)]
    kernels = tuple(
        f"{node.op_type} {node.name}: the target has no integer kernel for it, so activations stay in float"
        for node in layers
        if operators is not None and node.op_type in WEIGHTS and node.op_type not in operators
    )
    held = (v for v in model.graph.initializers.values() if v.name not in found and _is_large_matrix(v))
    constants = tuple(f"{v.name}: {_size(v):,} values that are no layer's weight, read by {_readers(v)}" for v in held)
    return (*nested, *nodes, *kernels, *constants)


def _nested_layers(model: ir.Model, found: Mapping[str, Weight]) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Yield the layers in bodies, each with the node of the main graph that it lies in."""
    for outer in model.graph:
        for body in bodies(outer):
            for node in body:
                if any(value is not None and value.name in found for value in node.inputs):
                    yield outer, node


def _nested_line(outer: ir.Node, node: ir.Node) -> str:
    where = "a branch" if outer.op_type == "If" else "the body"
    return f"{node.op_type} {node.name}: it lies in {where} of {outer.name}, where activations stay in float"


def _why_untouched(node: ir.Node) -> str | None:
    if node.domain:
        return f"no operator of ONNX's own, but of {node.domain}"
    indexes = WEIGHTS.get(node.op_type, ((), None))[0]
    for index in indexes:
        weight = node.inputs[index] if index < len(node.inputs) else None
        if weight is None:
            continue
        if not is_constant(weight) and node.op_type not in ("MatMul", "Gather"):  # these have two activations often
            return "its weight is computed, not a constant"
        if is_constant(weight) and weight.dtype != ir.DataType.FLOAT and _is_float(weight):
            return f"its weight is {weight.dtype}, and float32 is what becomes integers"
    return None


def _is_float(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _is_large_matrix(value: ir.Value) -> bool:
    """Tell whether a constant would be worth storing smaller: not a bias or another vector, and named by no other line."""
    axes = [size for size in value.const_value.shape if size != 1] if value.const_value is not None else []
    named = any(_why_untouched(use.node) is not None for use in value.uses())
    return _is_float(value) and len(axes) > 1 and _size(value) >= LEAST_LISTED and bool(value.uses()) and not named


def _size(value: ir.Value) -> int:
    return int(value.const_value.size) if value.const_value is not None else 0


def _readers(value: ir.Value) -> str:
    return ", ".join(sorted({use.node.op_type for use in value.uses()}))
