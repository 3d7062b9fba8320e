"""Fold what is multiplied with or added to a layer's answer, a constant a channel, into the layer's weights and bias.

Integers stand between a layer and a bias that is an operator of its own; runtimes add a layer's own bias in 32 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.absorbing import absorb, channels, layer_before
from edgeml_compress.graph.layers import constant, is_constant
from edgeml_compress.graph.naming import Constants, graphs
from edgeml_compress.rewrites import Said

SAID: Final = Said(
    "Folded {} into the layers before.",
    "scale and shift node",
    "A layer scales its weights beforehand, and adds its own bias in 32 bits.",
)
Floats = npt.NDArray[np.float64]


def fold_scale_and_shift(model: ir.Model) -> int:
    """Fold every Add, Sub, Mul and Div that alone reads a Conv, ConvTranspose or Gemm and whose other operand is a constant.

    A factor is folded only where the weight is that layer's own: a shared one would have to be stored twice.
    """
    folded, constants = 0, Constants(model)
    for node in [node for graph in graphs(model) for node in graph]:
        if node.domain or node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
            continue
        for index in (0, 1) if node.op_type in ("Add", "Mul") else (0,):
            layer = layer_before(node, node.inputs[index])
            values = None if layer is None else _a_channel(node.inputs[1 - index], layer)
            if layer is not None and values is not None and _fold(constants, node, layer, values):
                folded += 1
                break
    return folded


def _fold(constants: Constants, node: ir.Node, layer: ir.Node, values: Floats) -> bool:
    if node.op_type in ("Add", "Sub"):
        absorb(constants, layer, node, None, values if node.op_type == "Add" else -values)
        return True
    weight = layer.inputs[1]
    factor = (
        values if node.op_type == "Mul" else np.divide(1, values, out=np.full_like(values, np.nan), where=values != 0)
    )
    if weight is None or len(tuple(weight.uses())) > 1 or not np.isfinite(factor).all():
        return False
    absorb(constants, layer, node, factor, np.zeros_like(values))
    return True


def _a_channel(value: ir.Value | None, layer: ir.Node) -> Floats | None:
    """Return a constant as (channels,) where adding it to the layer's answer changes no shape and varies along channels only."""
    if value is None or not is_constant(value) or value.dtype != ir.DataType.FLOAT:
        return None
    array, rank, count = np.float64(constant(value)), constant(layer.inputs[1]).ndim, channels(layer)  # type: ignore[arg-type]
    if array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1) or shape[1] not in (1, count):
        return None
    return np.broadcast_to(array.reshape(-1), (count,)).copy()
