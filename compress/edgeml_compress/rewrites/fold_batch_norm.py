"""Fold a batch normalization into the convolution or dense layer before it: two factors a channel become one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.layers import constant, is_constant, name_of, sole_user

Floats = npt.NDArray[np.float64]


def fold_batch_norm(model: ir.Model) -> int:
    """Fold every batch normalization that alone reads a Conv, ConvTranspose or Gemm with constant weights.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 14.
    """
    folded = 0
    for norm in list(model.graph):
        layer = _layer_before(norm)
        if layer is not None:
            _fold(model.graph, layer, norm)
            folded += 1
    return folded


def _layer_before(norm: ir.Node) -> ir.Node | None:
    if norm.op_type != "BatchNormalization" or norm.domain or norm.attributes.get_int("training_mode", 0) == 1:
        return None
    fed = norm.inputs[0]
    layer = fed.producer() if fed is not None else None
    if fed is None or layer is None or layer.domain or sole_user(fed) is not norm:
        return None
    if layer.op_type == "ConvTranspose" and layer.attributes.get_int("group", 1) != 1:
        return None
    if layer.op_type == "Gemm" and (_factor(layer, "alpha") != 1 or _factor(layer, "beta") != 1):
        return None
    constants = [*layer.inputs[1:3], *norm.inputs[1:5]]
    known = layer.op_type in ("Conv", "ConvTranspose", "Gemm") and all(v is None or is_constant(v) for v in constants)
    return layer if known and not any(v is not None and v.is_graph_output() for v in constants) else None


def _factor(node: ir.Node, name: str) -> float:
    return node.attributes.get_float(name, 1.0)


def _fold(graph: ir.Graph, layer: ir.Node, norm: ir.Node) -> None:
    scale, shift, mean, variance = (np.float64(constant(v)) for v in norm.inputs[1:5] if v is not None)
    factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    weight = layer.inputs[1]
    if weight is None:
        raise ValueError(f"{layer.name} has no weight")
    axis = 1 if layer.op_type == "ConvTranspose" else 0
    if layer.op_type == "Gemm" and not layer.attributes.get_int("transB", 0):
        axis = 1
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    before = np.float64(constant(bias)) if bias is not None else np.zeros_like(shift)
    along = [1] * len(constant(weight).shape)
    along[axis] = -1
    layer.resize_inputs(3)
    layer.replace_input_with(1, _constant(graph, f"{name_of(weight)}_n", constant(weight) * factor.reshape(along)))
    layer.replace_input_with(2, _constant(graph, f"{name_of(norm.outputs[0])}_b", shift + (before - mean) * factor))
    name = norm.outputs[0].name  # which may be an output's
    norm.outputs[0].replace_all_uses_with(layer.outputs[0], replace_graph_outputs=True)
    graph.remove(norm, safe=True)
    layer.outputs[0].name = name


def _constant(graph: ir.Graph, name: str, values: Floats) -> ir.Value:
    """Register a float32 constant; a name that is taken (a shared weight, folded twice) gets a number."""
    free, number = name, 1
    taken = {v.name for n in graph for v in n.outputs} | set(graph.initializers) | {v.name for v in graph.inputs}
    while free in taken:
        free, number = f"{name}{number}", number + 1
    made = ir.Value(name=free, const_value=ir.tensor(values.astype(np.float32), name=free))
    made.dtype, made.shape = ir.DataType.FLOAT, ir.Shape(values.shape)
    graph.register_initializer(made)
    return made
