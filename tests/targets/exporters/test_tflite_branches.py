"""An If whose condition is known is one branch; another is both, and a choice between what they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.tflite import convert, fix_inputs

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL


def branch(name: str, *nodes: Any, weight: Any = None) -> Any:
    held = [] if weight is None else [numpy_helper.from_array(np.asarray(weight, np.float32), f"{name}_weight")]
    return helper.make_graph(list(nodes), name, [], [onnx.ValueInfoProto(name=nodes[-1].output[0])], held)


def model_of(condition: Any, shape: list[Any]) -> Any:
    """Return x doubled and clipped where a condition holds, else x less a weight; both read a value of the outer graph."""
    then = branch(
        "then", helper.make_node("Add", ["bent", "bent"], ["twice"]), helper.make_node("Relu", ["twice"], ["a"])
    )
    otherwise = branch("otherwise", helper.make_node("Sub", ["bent", "otherwise_weight"], ["b"]), weight=[1, 2, 3])
    nodes = [
        helper.make_node("Tanh", ["x"], ["bent"]),
        *condition,
        helper.make_node("If", ["holds"], ["y"], "choice", then_branch=then, else_branch=otherwise),
    ]
    given = [helper.make_tensor_value_info("x", FLOAT, shape), helper.make_tensor_value_info("rate", FLOAT, [])]
    constants = [numpy_helper.from_array(np.float32(8), "eight"), numpy_helper.from_array(np.array([1]), "one")]
    graph = helper.make_graph(nodes, "net", given, [helper.make_tensor_value_info("y", FLOAT, None)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


BY_RATE = [helper.make_node("Greater", ["rate", "eight"], ["holds"])]
BY_SHAPE = [
    helper.make_node("Shape", ["x"], ["sizes"]),
    helper.make_node("Gather", ["sizes", "one"], ["size"]),
    helper.make_node("Equal", ["size", "one"], ["holds"]),
]


@pytest.mark.parametrize("rate", [4.0, 16.0])
def test_both_branches_of_a_computed_condition(parity: Any, rate: float) -> None:
    model = model_of(BY_RATE, ["batch", 3])
    x = {"x": np.array([[-1, 0.5, 2], [3, -2, 1]], np.float32), "rate": np.array(rate, np.float32)}
    np.testing.assert_allclose(parity.litert(model, x)["y"], parity.reference(model, x)["y"], atol=1e-6)


@pytest.mark.parametrize("rate", [4.0, 16.0])
def test_an_input_that_is_fixed_chooses_the_branch(parity: Any, rate: float) -> None:
    model = model_of(BY_RATE, ["batch", 3])
    fixed = fix_inputs(ir.from_proto(model), {}, {"rate": np.array(rate, np.float32)})
    assert "SELECT_V2" not in convert(fixed, Encodings()).operators
    x = {"x": np.array([[-1, 0.5, 2]], np.float32)}
    wanted = parity.reference(model, {**x, "rate": np.array(rate, np.float32)})
    np.testing.assert_allclose(parity.litert(ir.to_proto(fixed), x)["y"], wanted["y"], atol=1e-6)


def test_a_condition_on_a_size_is_known(parity: Any) -> None:
    model = model_of(BY_SHAPE, ["batch", 3])
    assert "SELECT_V2" not in convert(ir.from_proto(model), Encodings()).operators
    x = {"x": np.array([[-1, 0.5, 2]], np.float32), "rate": np.array(1, np.float32)}
    np.testing.assert_allclose(parity.litert(model, x)["y"], parity.reference(model, x)["y"], atol=1e-6)


@pytest.mark.parametrize(("shapes", "says"), [({"z": (1, 3)}, "no such input"), ({"x": (1, 3, 4)}, "has 2 axes")])
def test_what_cannot_be_fixed_is_named(shapes: Any, says: str) -> None:
    with pytest.raises(EdgemlError, match=says):
        fix_inputs(ir.from_proto(model_of(BY_RATE, ["batch", 3])), shapes)
