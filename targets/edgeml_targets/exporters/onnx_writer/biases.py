"""Write the bias of an integer operator in int32, on the grid that its products are summed on: input scale times weight scale.

Source: Jacob et al. 2018, arXiv:1712.05877, section 2.4.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding, hold_bias
from edgeml_targets.exporters.onnx_writer.graph import GraphWriter, content, is_constant

_WITH_BIAS: Final = frozenset({"Conv", "ConvTranspose", "Gemm"})
_INT32: Final = np.iinfo(np.int32)


def write_bias(writer: GraphWriter, node: ir.Node, entering: Encoding, weight: Encoding) -> Encoding:
    """Write a node's constant bias as integers and return its weight's encoding, widened where the bias needs it.

    A bias that is not one value a channel (a Gemm's may be a matrix) stays in float; the encoding is returned as it is.
    """
    bias = node.inputs[2] if node.op_type in _WITH_BIAS and len(node.inputs) > 2 else None
    if bias is None or node.graph is None or not is_constant(bias) or len(entering.scale) != 1:
        return weight
    values = content(bias)
    row = values.reshape(-1)
    if row.size != max(values.shape, default=1) or len(weight.scale) not in (1, row.size):
        return weight
    held = hold_bias(weight, entering.scale[0], row)
    scale = np.asarray(held.scale, np.float64) * entering.scale[0]
    integers = np.clip(np.rint(row.astype(np.float64) / scale), _INT32.min, _INT32.max).astype(np.int32)
    per_channel = held.axis is not None
    stored = writer.constant(integers, f"{bias.name}_i")
    factor = writer.constant(np.asarray(scale if per_channel else scale[0], np.float32), f"{bias.name}_s")
    dequantize = writer.node(
        "DequantizeLinear", [stored, factor], [f"{bias.name}_d"], {"axis": 0} if per_channel else None
    )
    node.graph.insert_before(node, [dequantize])
    node.replace_input_with(2, dequantize.outputs[0])
    return held


def fold_gemm_factors(
    writer: GraphWriter, node: ir.Node, weight: npt.NDArray[Any], encoding: Encoding
) -> tuple[npt.NDArray[Any], Encoding]:
    """Fold a Gemm's alpha into its weight and beta into its constant bias: integer kernels know neither.

    Returns:
        The weight and its encoding, both times alpha; of any other operator, as they were given.
    """
    if node.op_type != "Gemm":
        return weight, encoding
    alpha, beta = (float(node.attributes.get_float(name, 1.0)) for name in ("alpha", "beta"))
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if beta != 1.0 and bias is not None and is_constant(bias):
        node.replace_input_with(2, writer.constant((content(bias) * beta).astype(np.float32), f"{bias.name}_b"))
        node.attributes["beta"] = ir.AttrFloat32("beta", 1.0)
    if alpha in (0.0, 1.0):
        return weight, encoding
    node.attributes["alpha"] = ir.AttrFloat32("alpha", 1.0)
    return weight * alpha, msgspec.structs.replace(encoding, scale=tuple(s * abs(alpha) for s in encoding.scale))
