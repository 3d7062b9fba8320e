"""Let a layer do what a node after it does: a factor and a shift a channel go into its weights and its bias."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import constant, is_constant, name_of, sole_user
from edgeml_compress.graph.naming import Constants

Floats = npt.NDArray[np.float64]

LAYERS: Final = frozenset({"Conv", "ConvTranspose", "Gemm"})


def layer_before(node: ir.Node, value: ir.Value | None) -> ir.Node | None:
    """Return the layer with constant float32 weights that gives `value` to `node` alone; `None` where there is none."""
    layer = value.producer() if value is not None else None
    if value is None or layer is None or layer.domain or layer.op_type not in LAYERS or layer.graph is not node.graph:
        return None
    if sole_user(value) is not node:
        return None
    if layer.op_type == "ConvTranspose" and layer.attributes.get_int("group", 1) != 1:
        return None
    if layer.op_type == "Gemm" and any(layer.attributes.get_float(name, 1.0) != 1 for name in ("alpha", "beta")):
        return None
    held = [v for v in layer.inputs[1:3] if v is not None]
    sound = all(is_constant(v) and v.dtype == ir.DataType.FLOAT and not v.is_graph_output() for v in held)
    return layer if sound and (layer.op_type != "Gemm" or _is_vector(layer)) else None


def channels(layer: ir.Node) -> int:
    """Return how many output channels a layer has."""
    return int(constant(_weight(layer)).shape[_axis(layer)])


def absorb(constants: Constants, layer: ir.Node, node: ir.Node, factor: Floats | None, shift: Floats) -> None:
    """Let `layer` give what `node` gives, which is its answer times `factor` plus `shift`, and drop `node`.

    Args:
        constants: Of their model; the new weights go there.
        layer: What `layer_before` found.
        node: Has one output that is used.
        factor: (channels,), or `None` for 1: then the weights stay as they are.
        shift: (channels,).
    """
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    before = np.float64(constant(bias)) if bias is not None else np.zeros_like(shift)
    layer.resize_inputs(3)
    if factor is not None:
        weight = _weight(layer)
        along = [1] * constant(weight).ndim
        along[_axis(layer)] = -1
        scaled = (constant(weight) * factor.reshape(along)).astype(np.float32)
        layer.replace_input_with(1, constants.add(f"{name_of(weight)}_n", scaled))
        before = before * factor
    given = node.outputs[0]
    layer.replace_input_with(2, constants.add(f"{name_of(given)}_b", (before + shift).astype(np.float32)))
    made, name, graph = layer.outputs[0], given.name, node.graph  # the name may be an output's
    made.type, made.shape = given.type, given.shape
    given.replace_all_uses_with(made, replace_graph_outputs=True)
    if graph is not None:
        graph.remove(node, safe=True)
    made.name = name


def _axis(layer: ir.Node) -> int:
    """Return along which axis of its weight a layer's output channels lie."""
    if layer.op_type == "Gemm":
        return 0 if layer.attributes.get_int("transB", 0) else 1
    return 1 if layer.op_type == "ConvTranspose" else 0


def _weight(layer: ir.Node) -> ir.Value:
    weight = layer.inputs[1]
    if weight is None:
        raise ValueError(f"{layer.name} has no weight")
    return weight


def _is_vector(layer: ir.Node) -> bool:
    """Tell whether a Gemm's bias has one value a channel, or can be made so."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    return bias is None or constant(bias).shape in ((channels(layer),), (1, channels(layer)))
