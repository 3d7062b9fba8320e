"""Write weights as integers or halves, each use in the form that its operator wants.

static        DequantizeLinear of int8: pulled into an integer kernel, together with its operator's bias in int32
dynamic       the operator itself is rewritten (dynamic.py)
weight-only   Cast and Mul of int8: the runtime folds them when it loads, and computes in float at float's speed;
              DequantizeLinear would stay and be computed at every inference (1.3 to 1.9 times slower, measured)
in blocks     Cast, Mul and Reshape of int8 in rows of one block each, (blocks, 1, 1, block); folded as well. With two or
              three axes OpenVINO takes them for groups of its own kernels and answers something else. The scales stand in
              half precision where they are exact in it. Integers of 4 bits or fewer stand two a byte (INT4, opset 21)
              of a recurrent operator: cast by way of half precision, in which small integers are exact. OpenVINO takes a
              Cast and Mul beside quantized activations for a dequantization, keeps it, and refuses the operator for it
float16       Cast of half precision: folded too
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.onnx_writer.biases import fold_gemm_factors, write_bias
from edgeml_targets.exporters.onnx_writer.dynamic import write_dynamic
from edgeml_targets.exporters.onnx_writer.graph import (
    GraphWriter,
    axis_of,
    content,
    insert_at_head,
    is_constant,
    narrow_enough,
    scales,
    zero_points,
)
from edgeml_targets.exporters.rounded import integers_of

_RECURRENT: Final = frozenset({"LSTM", "GRU", "RNN"})
_NO_INTEGER_KERNEL: Final = _RECURRENT | {"Gather"}  # of a constant, in any runtime of ours
Use = tuple[ir.Node, int]  # who reads a value, as which of its inputs

_LARGEST_HALF: Final = float(np.finfo(np.float16).max)


class Form(Enum):
    """How one use of an encoded weight is written."""

    STATIC = "static"
    DYNAMIC = "dynamic"
    WEIGHT_ONLY = "weight-only"


def form_of(node: ir.Node, index: int, encodings: Encodings) -> Form:
    """Return how input `index` of a node, an encoded weight, is written: it follows the node's activations.

    A weight in blocks is always computed with in float: no integer kernel takes it. So is one that the body of an If or Loop
    reads: ONNX Runtime 1.32 does not load a MatMul there whose DequantizeLinear reads integers of the main graph.
    """
    weight = node.inputs[index]
    if weight is not None and weight.graph is not node.graph:
        return Form.WEIGHT_ONLY
    encoding = None if weight is None else encodings.tensors.get(str(weight.name))
    activations = {v.name for i, v in enumerate(node.inputs) if v is not None and i != index and not is_constant(v)}
    if node.op_type in _NO_INTEGER_KERNEL or (encoding is not None and encoding.block is not None):
        return Form.WEIGHT_ONLY
    if activations & encodings.tensors.keys():
        return Form.STATIC
    return Form.DYNAMIC if activations & encodings.dynamic else Form.WEIGHT_ONLY


def write_weights(writer: GraphWriter, model: ir.Model, encodings: Encodings) -> None:
    """Write every weight that `encodings` names; the activations must still be as the float model has them.

    Raises:
        EdgemlError: A weight cannot be held in half precision, or an operator has no dynamic form.
    """
    weights = [value for graph in (model.graph, *model.graph.subgraphs()) for value in graph.initializers.values()]
    for weight in weights:
        if weight.name in encodings.float16:
            _share(weight, weight.uses(), lambda value: _expand_half(writer, value))
        elif encoding := encodings.tensors.get(str(weight.name)):
            _write_weight(writer, weight, encoding, encodings)


def _write_weight(writer: GraphWriter, weight: ir.Value, encoding: Encoding, encodings: Encodings) -> None:
    uses = {form: [u for u in weight.uses() if form_of(u.node, u.idx, encodings) is form] for form in Form}
    _share(weight, uses[Form.WEIGHT_ONLY], lambda value: _expand_integers(writer, value, encoding))
    for use in uses[Form.STATIC]:
        _write_static(writer, use, encoding, encodings)
    for use in uses[Form.DYNAMIC]:
        write_dynamic(writer, use.node, use.idx, encoding)


def _share(weight: ir.Value, uses: Collection[Use], expand: Callable[[ir.Value], ir.Value]) -> None:
    """Let all these uses read one expansion of the weight."""
    if uses:
        expanded = expand(weight)
        for node, index in uses:
            node.replace_input_with(index, expanded)


def _write_static(writer: GraphWriter, use: Use, encoding: Encoding, encodings: Encodings) -> None:
    node, index = use
    weight = node.inputs[index]
    if weight is None or node.graph is None:
        raise ValueError(f"{node.name} is in no graph or lacks input {index}")
    plain = content(weight)
    values, held = fold_gemm_factors(writer, node, plain, encoding)
    entering = encodings.tensors.get(str(node.inputs[0].name)) if index == 1 and node.inputs[0] is not None else None
    if entering is not None:
        held = write_bias(writer, node, entering, held)
    rounded = integers_of(weight, held) if values is plain else held.quantize(values)
    integers = writer.constant(rounded, f"{weight.name}_i")
    scale, zero = (
        writer.constant(scales(held), f"{weight.name}_s"),
        writer.constant(zero_points(held), f"{weight.name}_z"),
    )
    dequantize = writer.node("DequantizeLinear", [integers, scale, zero], [f"{weight.name}_d"], axis_of(held))
    node.graph.insert_before(node, [dequantize])
    node.replace_input_with(index, dequantize.outputs[0])


def _expand_integers(writer: GraphWriter, weight: ir.Value, encoding: Encoding) -> ir.Value:
    """Return the weight as Cast and Mul (and Sub, where its zero point is not 0) of stored integers, in its own type."""
    name, values = weight.name, content(weight)
    to_float = {"to": int(ir.DataType.from_numpy(values.dtype))}
    rows = values.shape if encoding.block is None else (-1, 1, 1, encoding.block)
    integers = _stored(writer, integers_of(weight, encoding).reshape(rows), encoding, f"{name}_i")
    if any(use.node.op_type in _RECURRENT for use in weight.uses()):
        nodes = [writer.node("Cast", [integers], [f"{name}_k"], {"to": int(ir.DataType.FLOAT16)})]
        integers = nodes[0].outputs[0]
    else:
        nodes = []
    nodes.append(writer.node("Cast", [integers], [f"{name}_c"], to_float))
    shape = _beside(encoding, values.ndim)
    if any(encoding.zero_point):
        zero = np.reshape(np.asarray(encoding.zero_point, values.dtype), shape)
        nodes.append(writer.node("Sub", [nodes[-1].outputs[0], writer.constant(zero, f"{name}_z")], [f"{name}_o"]))
    factors = np.reshape(np.asarray(encoding.scale, values.dtype), shape)
    halves = factors.astype(np.float16)
    entering = nodes[-1].outputs[0]
    if encoding.block is not None and (halves == factors).all():
        nodes.append(writer.node("Cast", [writer.constant(halves, f"{name}_s")], [f"{name}_f"], to_float))
        scale = nodes[-1].outputs[0]
    else:
        scale = writer.constant(factors, f"{name}_s")
    nodes.append(writer.node("Mul", [entering, scale], [f"{name}_d"]))
    if encoding.block is not None:
        whole = writer.constant(np.asarray(values.shape, np.int64), f"{name}_n")
        nodes.append(writer.node("Reshape", [nodes[-1].outputs[0], whole], [f"{name}_w"]))
    return _at_head(weight, nodes)


def _stored(writer: GraphWriter, integers: npt.NDArray[Any], encoding: Encoding, name: str) -> ir.Value:
    """Return a constant that holds integers: two a byte where they are narrow enough."""
    return writer.constant(integers.astype(ml_dtypes.int4) if narrow_enough(encoding) else integers, name)


def _beside(encoding: Encoding, rank: int) -> list[int]:
    """Return the shape in which an encoding's scales broadcast along a weight of `rank`, or along its rows of one block."""
    if encoding.block is not None:
        return [-1, 1, 1, 1]
    return [] if encoding.axis is None else [-1 if i == encoding.axis % rank else 1 for i in range(rank)]


def _expand_half(writer: GraphWriter, weight: ir.Value) -> ir.Value:
    """Return the weight as a Cast of stored halves."""
    values = content(weight)
    if np.abs(values).max(initial=0.0) > _LARGEST_HALF:
        what = f"it holds values above {_LARGEST_HALF:,.0f}, the largest of half precision"
        raise EdgemlError(what, where=str(weight.name), mend="leave this weight in float32")
    halves = writer.constant(values.astype(np.float16), f"{weight.name}_h")
    to_float = {"to": int(ir.DataType.from_numpy(values.dtype))}
    return _at_head(weight, [writer.node("Cast", [halves], [f"{weight.name}_d"], to_float)])


def _at_head(weight: ir.Value, nodes: list[ir.Node]) -> ir.Value:
    graph = weight.graph
    if not isinstance(graph, ir.Graph):
        raise ValueError(f"{weight.name} is in no graph")
    insert_at_head(graph, nodes)
    return nodes[-1].outputs[0]
