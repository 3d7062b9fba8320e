"""Nodes whose result is known before the model runs: constants, and arithmetic on shapes.

A free size stands as FREE_SIZE in what is computed from a shape, and so does whatever follows from one: `Forms.sizes`
holds such values, which are written as operators only where somebody needs the numbers themselves.
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
        *("Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mod", "Mul"),
        *(
            "Neg",
            "Not",
            "Or",
            "Pad",
            "Pow",
            "Range",
            "Reciprocal",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
        ),
        *("ReduceSum", "ScatterND", "Split", "Sqrt", "Sub", "Tile", "Transpose", "Trilu", "Where", "Xor"),
        *("CumSum", "EyeLike", "OneHot", "GatherElements", "GatherND", "Abs", "Round", "Sign"),
    }
)
_WHOLE: Final = (np.int64, np.int32)
_GROWS: Final = frozenset({"ConstantOfShape", "Expand", "MatMul", "Pad", "Range", "ScatterND", "Tile"})
_TRIAL_SIZES: Final = (1, 1013, 2027)  # what depends on none of them depends on no size
FOLDED: Final = _MOVES | _COMPUTES | {"Constant", "Shape", "Size"}
"""Operators of ONNX that are not written when their inputs are known."""


def fold(node: ir.Node, forms: Forms, opset: int) -> bool:
    """Note a node's results where they are known, but for sizes that are free, and tell whether they are."""
    if node.domain not in ("", "ai.onnx") or node.op_type not in FOLDED:
        return False
    if node.op_type == "Constant":
        forms.constants[node.outputs[0]] = constant(node)
        return True
    if node.op_type in ("Shape", "Size") and node.inputs[0] is not None:
        return _fold_shape(node, node.inputs[0], forms)
    inputs = [None if value is None else forms.known_but_for_sizes(value) for value in node.inputs]
    if any(known is None and value is not None for known, value in zip(inputs, node.inputs, strict=True)):
        return False
    results = _evaluated(node, inputs, opset)
    for value, array in zip(node.outputs, results or (), strict=results is not None):
        forms.note(value, array)
    return results is not None


def _evaluated(node: ir.Node, inputs: list[Array | None], opset: int) -> list[Array] | None:
    """Compute a node by its inputs; `None` where a free size decides more than a whole number."""
    if not any(_depends_on_size(known) for known in inputs):
        return _evaluate(node, inputs, opset)
    if node.op_type in _MOVES and all(known is None or known.dtype in _WHOLE for known in inputs):
        moved = _evaluate(node, inputs, opset)
        return moved if all(array.dtype in _WHOLE for array in moved) else None
    if node.op_type in _GROWS:
        return None
    trials = [_evaluate(node, [_with_size(known, size) for known in inputs], opset) for size in _TRIAL_SIZES]
    merged = [_merged(arrays) for arrays in zip(*trials, strict=True)]
    complete = [array for array in merged if array is not None]
    return complete if len(complete) == len(merged) else None


def _depends_on_size(known: Array | None) -> bool:
    return known is not None and known.dtype in _WHOLE and bool((known == FREE_SIZE).any())


def _with_size(known: Array | None, size: int) -> Array | None:
    return (
        np.where(known == FREE_SIZE, size, known).astype(known.dtype)
        if known is not None and known.dtype in _WHOLE
        else known
    )


def _merged(trials: tuple[Array, ...]) -> Array | None:
    """Return what trials agree on, FREE_SIZE where they do not; `None` where that cannot be said."""
    first = trials[0]
    if any(array.shape != first.shape for array in trials):
        return None
    differs = np.any([array != first for array in trials], axis=0)
    if not differs.any():
        return first
    return np.where(differs, FREE_SIZE, first).astype(first.dtype) if first.dtype in _WHOLE else None


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
        forms.note(node.outputs[0], sizes[start:end])
    else:
        forms.note(node.outputs[0], np.array(FREE_SIZE if FREE_SIZE in sizes else np.prod(sizes), np.int64))
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
