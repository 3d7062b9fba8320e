"""Join a matrix product and the addition of its bias into one Gemm, whose bias runtimes add in 32 bits."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant, sole_user
from edgeml_compress.rewrites import Said

SAID: Final = Said("Joined {} with the bias.", "matrix product", "A bias is added in 32 bits, without rounding.")


def join_matmul_and_bias(model: ir.Model) -> int:
    """Join every product of a matrix and a constant matrix with the constant vector that is added to it alone."""
    joined = 0
    for product in list(model.graph):
        addition = _addition_after(product)
        if addition is None:
            continue
        bias = next(v for v in addition.inputs if v is not product.outputs[0])
        gemm = ir.Node(
            "",
            "Gemm",
            [*product.inputs, bias],
            name=product.name,
            outputs=[ir.Value(name=f"{addition.outputs[0].name}_g")],
        )
        model.graph.insert_before(addition, gemm)
        made, given = gemm.outputs[0], addition.outputs[0]
        made.type, made.shape, name = given.type, given.shape, given.name
        given.replace_all_uses_with(made, replace_graph_outputs=True)
        model.graph.remove(addition, safe=True)
        model.graph.remove(product, safe=True)
        made.name = name
        joined += 1
    return joined


def _addition_after(product: ir.Node) -> ir.Node | None:
    if product.op_type != "MatMul" or product.domain:
        return None
    matrix, weight = product.inputs
    if matrix is None or weight is None or not is_constant(weight) or _rank(matrix) != 2 or _rank(weight) != 2:
        return None
    addition = sole_user(product.outputs[0])
    if addition is None or addition.op_type != "Add" or addition.domain or addition.graph is not product.graph:
        return None
    bias = next((v for v in addition.inputs if v is not product.outputs[0]), None)
    if (
        bias is None
        or not is_constant(bias)
        or bias.dtype != ir.DataType.FLOAT
        or bias.shape is None
        or weight.shape is None
    ):
        return None
    return addition if tuple(bias.shape) == (weight.shape[1],) else None


def _rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)
