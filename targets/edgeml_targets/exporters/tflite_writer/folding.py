"""Nodes whose result is known before the model runs: constants, and arithmetic on shapes.

A free size stands as FREE_SIZE in what is computed from a shape. It may be moved about, but not computed with.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_targets.exporters.tflite_writer.elements import elements
from edgeml_targets.exporters.tflite_writer.forms import Forms
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE

Array = npt.NDArray[Any]

_MOVES: Final = frozenset({"Cast", "Concat", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Unsqueeze"})
_COMPUTES: Final = frozenset(
    {
        *("Add", "And", "Ceil", "ConstantOfShape", "DequantizeLinear", "Div", "Equal", "Exp", "Expand", "Flatten"),
        *("Floor", "Greater", "Less", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pad", "Pow"),
        *("Range", "ReduceMean", "ReduceProd", "ReduceSum", "ScatterND", "Split", "Sqrt", "Sub", "Tile", "Transpose"),
        "Where",
    }
)
_WHOLE: Final = (np.int64, np.int32)
_WHOLE_TYPES: Final = (ir.DataType.INT64, ir.DataType.INT32)
FOLDED: Final = _MOVES | _COMPUTES | {"Constant", "Shape", "Size"}
"""Operators of ONNX that are not written when their inputs are known."""


def fold(node: ir.Node, forms: Forms, opset: int) -> bool:
    """Note a node's results as constants where they are known, and tell whether they are.

    Raises:
        Inexpressible: They depend on a size that is free in a way that the file cannot express.
    """
    if node.domain not in ("", "ai.onnx") or node.op_type not in FOLDED:
        return False
    if node.op_type == "Constant":
        forms.constants[node.outputs[0]] = constant(node)
        return True
    if node.op_type in ("Shape", "Size") and node.inputs[0] is not None:
        return _fold_shape(node, node.inputs[0], forms)
    inputs = [None if value is None else forms.constants.get(value) for value in node.inputs]
    if any(known is None and value is not None for known, value in zip(inputs, node.inputs, strict=True)):
        return False
    depends = any(known is not None and known.dtype in _WHOLE and (known == FREE_SIZE).any() for known in inputs)
    if depends and (node.op_type not in _MOVES or node.attributes.get_int("to", ir.DataType.INT64) not in _WHOLE_TYPES):
        raise Inexpressible("it computes with a size that is free")
    for value, array in zip(node.outputs, _evaluate(node, inputs, opset), strict=True):
        forms.constants[value] = array
    return True


def constant(node: ir.Node) -> Array:
    """Return what a Constant node holds.

    Raises:
        Inexpressible: Strings, or a sparse tensor.
    """
    attributes = node.attributes
    if (tensor := attributes.get_tensor("value")) is not None:
        return elements(tensor)
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        if name in attributes:
            return np.array(attributes[name].value, dtype)
    if "value_floats" in attributes:
        return np.array(attributes.get_floats("value_floats"), np.float32)
    if "value_ints" in attributes:
        return np.array(attributes.get_ints("value_ints"), np.int64)
    raise Inexpressible("it holds no numbers")


def _fold_shape(node: ir.Node, value: ir.Value, forms: Forms) -> bool:
    sizes = np.array([FREE_SIZE if size == FREE else size for size in forms.shape(value)], np.int64)
    if node.op_type == "Shape":
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", len(sizes))
        forms.constants[node.outputs[0]] = sizes[start:end]
        return True
    if FREE_SIZE in sizes:
        raise Inexpressible("it counts elements, and a size is free")
    forms.constants[node.outputs[0]] = np.array(np.prod(sizes), np.int64)
    return True


def _evaluate(node: ir.Node, inputs: list[Array | None], opset: int) -> list[Array]:
    """Compute a node of known inputs by ONNX's reference implementation."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    names = ["" if known is None else f"i{i}" for i, known in enumerate(inputs)]
    outputs = [f"o{i}" for i in range(len(node.outputs))]
    alone = ir.serde.serialize_node(node)
    del alone.input[:], alone.output[:]
    alone.input.extend(names)
    alone.output.extend(outputs)
    typed = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(k.dtype), k.shape)
        for n, k in zip(names, inputs, strict=True)
        if k is not None
    ]
    untyped = [onnx.ValueInfoProto(name=name) for name in outputs]
    model = onnx.helper.make_model(
        onnx.helper.make_graph([alone], "alone", typed, untyped), opset_imports=[onnx.helper.make_opsetid("", opset)]
    )
    given = {name: known for name, known in zip(names, inputs, strict=True) if known is not None}
    try:
        found = ReferenceEvaluator(model).run(None, given)
    except (ValueError, TypeError, IndexError, RuntimeError, KeyError) as error:
        raise Inexpressible(f"it cannot be computed from its constants: {error}") from error
    return [np.asarray(array) for array in found]
