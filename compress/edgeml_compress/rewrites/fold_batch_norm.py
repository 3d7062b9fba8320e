"""Fold a batch normalization into the convolution or dense layer before it: two factors a channel become one."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.absorbing import absorb, layer_before
from edgeml_compress.graph.layers import constant, is_constant
from edgeml_compress.graph.naming import Constants, graphs
from edgeml_compress.rewrites import Said

SAID: Final = Said(
    "Folded {} into the layers before.",
    "batch norm",
    "A batch norm of constants is a scale and a shift, which weights and bias take in.",
)


def fold_batch_norm(model: ir.Model) -> int:
    """Fold every batch normalization that alone reads a Conv, ConvTranspose or Gemm with constant weights.

    Source: Jacob et al. 2018, arXiv:1712.05877, equation 14.
    """
    folded, constants = 0, Constants(model)
    for norm in [node for graph in graphs(model) for node in graph]:
        layer = _layer_before(norm)
        if layer is not None:
            scale, shift, mean, variance = (np.float64(constant(v)) for v in norm.inputs[1:5] if v is not None)
            factor = scale / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
            absorb(constants, layer, norm, factor, shift - mean * factor)
            folded += 1
    return folded


def _layer_before(norm: ir.Node) -> ir.Node | None:
    if norm.op_type != "BatchNormalization" or norm.domain or norm.attributes.get_int("training_mode", 0) == 1:
        return None
    if not all(v is not None and is_constant(v) for v in norm.inputs[1:5]):
        return None
    return layer_before(norm, norm.inputs[0])
