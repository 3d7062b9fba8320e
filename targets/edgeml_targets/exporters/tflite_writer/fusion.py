"""What an operator takes over from the nodes that follow it: a bias, a batch normalization, an activation.

LiteRT's kernels clip their result for nothing, and a product with constant weights can carry any scale and shift a channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Entry

Constants = Mapping[ir.Value, npt.NDArray[Any]]

ACTIVATIONS: Final[Mapping[tuple[float, float], tuple[int, int]]] = {
    (0.0, np.inf): (Activation.RELU, Op.RELU),
    (0.0, 6.0): (Activation.RELU6, Op.RELU6),
    (-1.0, 1.0): (Activation.RELU_N1_TO_1, Op.RELU_N1_TO_1),
}
"""By the limits of a clip: how a kernel is told, and the operator that does it alone."""


@dataclass(frozen=True)
class Fused:
    """What one operator writes.

    Args:
        output: The value that it makes in the end.
        limits: What it clips to, `None` for no clip.
        scale, shift: What every output channel is multiplied by and then added, `None` for nothing.
        covered: The nodes that it takes over.
    """

    output: ir.Value
    limits: tuple[float, float] | None = None
    scale: npt.NDArray[np.float64] | None = None
    shift: npt.NDArray[np.float64] | None = None
    covered: tuple[ir.Node, ...] = ()


def fuse(node: ir.Node, entry: Entry, constants: Constants, encoded: frozenset[str]) -> Fused:
    """Return what a node writes together with the nodes after it.

    Args:
        node, entry: The node and what can be said of its operator.
        constants: Values whose elements are known.
        encoded: Names of weights whose integers are settled, so that no scale can be folded into them.
    """
    fused = Fused(node.outputs[0])
    if entry.weight is not None and (weight := node.inputs[entry.weight]) in constants and weight is not None:
        follower = only_reader(fused.output)
        if follower is not None and follower.op_type == "BatchNormalization" and weight.name not in encoded:
            fused = _with_normalization(fused, follower, constants)
        elif follower is not None and follower.op_type == "Add" and node.op_type == "MatMul":
            fused = _with_bias(fused, follower, constants, constants[weight])
    if entry.activates and (follower := only_reader(fused.output)) is not None:
        limits = clip_limits(follower, constants)
        if limits in ACTIVATIONS:
            fused = replace(fused, limits=limits, output=follower.outputs[0], covered=(*fused.covered, follower))
    return fused


def only_reader(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads a value, `None` when there are more, or the value is an output of the graph."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def clip_limits(node: ir.Node, constants: Constants) -> tuple[float, float] | None:
    """Return what a Relu, or a Clip with known limits, clips to; `None` for any other node."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    found = [node.attributes.get_float("min", -np.inf), node.attributes.get_float("max", np.inf)]
    for i, value in enumerate(node.inputs[1:3]):
        if value is not None:
            if value not in constants:
                return None
            found[i] = float(constants[value].reshape(()))
    return found[0], found[1]


def normalization(node: ir.Node, constants: Constants) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the factor and the summand a channel that a BatchNormalization of known statistics is, each (channels,).

    Raises:
        Inexpressible: Its statistics are computed.
    """
    parameters = [constants[v].astype(np.float64) for v in node.inputs[1:5] if v is not None and v in constants]
    if len(parameters) != 4 or node.attributes.get_int("training_mode"):
        raise Inexpressible("its statistics are not constant")
    gamma, beta, mean, variance = parameters
    factor = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return factor, beta - mean * factor


def _with_normalization(fused: Fused, node: ir.Node, constants: Constants) -> Fused:
    if node.inputs[0] is not fused.output or any(v not in constants for v in node.inputs[1:5]):
        return fused
    scale, shift = normalization(node, constants)
    return replace(fused, scale=scale, shift=shift, output=node.outputs[0], covered=(node,))


def _with_bias(fused: Fused, node: ir.Node, constants: Constants, weight: npt.NDArray[Any]) -> Fused:
    """Take over an Add of a constant that is a vector of the output's columns, or a scalar."""
    other = next((v for v in node.inputs if v is not fused.output), None)
    if other is None or other not in constants or weight.ndim != 2:
        return fused
    bias = constants[other]
    if bias.size not in (1, weight.shape[1]) or (bias.ndim > 1 and bias.shape[-1] != bias.size):
        return fused
    if bias.ndim > len(fused.output.shape or ()) and fused.output.shape is not None:
        return fused  # it would add an axis
    shift = np.broadcast_to(bias.reshape(-1), weight.shape[1:]).astype(np.float64)
    return replace(fused, shift=shift, output=node.outputs[0], covered=(node,))
