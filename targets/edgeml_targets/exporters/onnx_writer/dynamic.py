"""Write an operator whose input finds its scale anew at each inference: DynamicQuantizeLinear and an integer product.

ONNX Runtime fuses the chain of a matrix product, bias included, into one DynamicQuantizeMatMul.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.onnx_writer.biases import fold_gemm_factors
from edgeml_targets.exporters.onnx_writer.graph import GraphWriter, content, replace_node, scales, zero_points

_INTEGER_FORM: Final = {"MatMul": "MatMulInteger", "Gemm": "MatMulInteger", "Conv": "ConvInteger"}


def write_dynamic(writer: GraphWriter, node: ir.Node, index: int, encoding: Encoding) -> None:
    """Put the integer form of a node in its place; input `index` is its weight.

    Raises:
        EdgemlError: The operator has no such form, or the weight's channels are not its output channels.
    """
    values, encoding = fold_gemm_factors(writer, node, content(_input(node, index)), encoding)
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) != 0:
        values, encoding = values.T, _transposed(encoding)
    _refuse(node, index, values, encoding)
    weight, name = str(_input(node, index).name), str(node.outputs[0].name)
    rank = values.ndim if node.op_type == "Conv" else 1  # scales and biases stand along the output's channels

    find = _quantize_input(writer, node)
    products: list[ir.Value | None] = [find.outputs[0], writer.constant(encoding.quantize(values), f"{weight}_i")]
    products.append(find.outputs[2])
    if any(encoding.zero_point):
        products.append(writer.constant(zero_points(encoding), f"{weight}_z"))
    multiply = writer.node(_INTEGER_FORM[node.op_type], products, [f"{name}_i"])
    if node.op_type == "Conv":
        multiply.attributes.update(node.attributes)
    to_float = writer.node("Cast", [multiply.outputs[0]], [f"{name}_c"], {"to": int(ir.DataType.FLOAT)})
    factor = writer.constant(_along_channels(scales(encoding), rank), f"{weight}_s")
    scale = writer.node("Mul", [find.outputs[1], factor], [f"{name}_s"])
    nodes = [multiply, to_float, scale, writer.node("Mul", [to_float.outputs[0], scale.outputs[0]], [f"{name}_m"])]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        if node.op_type == "Conv":
            bias = writer.constant(_along_channels(content(bias), rank), f"{bias.name}_b")
        nodes.append(writer.node("Add", [nodes[-1].outputs[0], bias], [f"{name}_a"]))
    replace_node(node, nodes)


def _refuse(node: ir.Node, index: int, values: npt.NDArray[Any], encoding: Encoding) -> None:
    where = f"{node.op_type} {node.name or node.outputs[0].name}"
    mend = "leave its input out of the dynamic ones"
    if node.op_type not in _INTEGER_FORM or index != 1 or node.attributes.get_int("transA", 0) != 0:
        raise EdgemlError("its form has no dynamic one in ONNX", where=where, mend=mend)
    channels = 0 if node.op_type == "Conv" else values.ndim - 1
    if encoding.axis not in (None, channels) or encoding.bits > 8:
        raise EdgemlError("its weight needs 8 bits or fewer, per output channel", where=where, mend=mend)


def _quantize_input(writer: GraphWriter, node: ir.Node) -> ir.Node:
    """Return the DynamicQuantizeLinear of a node's input, which all dynamic readers of that input share."""
    entering = _input(node, 0)
    for use in entering.uses():
        if use.node.op_type == "DynamicQuantizeLinear":
            return use.node
    name = entering.name
    find = writer.node("DynamicQuantizeLinear", [entering], [f"{name}_q", f"{name}_s", f"{name}_z"])
    producer, graph = entering.producer(), entering.graph
    if isinstance(graph, ir.Graph) and producer is not None:
        graph.insert_after(producer, [find])
    elif node.graph is not None:
        node.graph.insert_before(node, [find])
    return find


def _along_channels(row: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    """Return one value a channel, shaped so that it broadcasts along axis 1 of a tensor of `rank`; a scalar stays one."""
    return row if rank == 1 or row.ndim == 0 else row.reshape([1, -1, *[1] * (rank - 2)])


def _transposed(encoding: Encoding) -> Encoding:
    axis = None if encoding.axis is None else 1 - encoding.axis
    return msgspec.structs.replace(encoding, axis=axis)


def _input(node: ir.Node, index: int) -> ir.Value:
    value = node.inputs[index]
    if value is None:
        raise ValueError(f"{node.name} lacks input {index}")
    return value
