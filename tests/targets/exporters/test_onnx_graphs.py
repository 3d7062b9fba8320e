"""The ONNX exporter on graphs of every build: products, shared weights, taken names, old opsets, bodies of If."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edgeml_targets.contract.encodings import Encoding, Encodings, affine, symmetric
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters import find_exporter
from edgeml_targets.models import model_tensors, read_model

from .running import answer, constant, graph_model, kernels

EXPORTER = find_exporter(".onnx")


def test_an_operator_without_a_dynamic_form_is_named(tmp_path: Path) -> None:
    model = product("Gemm", transA=1)

    with pytest.raises(EdgemlError, match="Gemm product: its form has no dynamic one"):
        EXPORTER.export(model, Encodings(tensors=of_matrix(model), dynamic=frozenset({"x"})), tmp_path / "m.onnx")


@pytest.mark.parametrize("form", ["static", "dynamic", "weight-only"])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("MatMul", {}),
        ("Gemm", {}),
        ("Gemm", {"transB": 1}),
        ("Gemm", {"alpha": -0.5, "beta": 2.0}),
        ("Gemm", {"alpha": 3.0, "transB": 1, "beta": 0.5}),
    ],
)
def test_every_product_of_matrices_in_every_form(
    form: str, operator: str, attributes: dict[str, Any], tmp_path: Path
) -> None:
    model = product(operator, **attributes)
    x = np.random.default_rng(0).uniform(-1, 1, (4, 6)).astype(np.float32)
    tensors = of_matrix(model)
    if form == "static":
        tensors["x"] = affine(-1, 1, signed=False)

    dynamic = frozenset({"x"} if form == "dynamic" else ())
    EXPORTER.export(model, Encodings(tensors=tensors, dynamic=dynamic), tmp_path / "m.onnx")
    EXPORTER.export(model, Encodings(), tmp_path / "float.onnx")

    truth = answer(tmp_path / "float.onnx", {"x": x})["y"]
    weight = np.abs(constant(model, "w")).sum(1 if "transB" in attributes else 0).max()
    bound = (
        abs(attributes.get("alpha", 1)) * (6 / 127 + weight / 127) + 1e-4
    )  # half a step of each input, of every product
    for runtime in ("onnxruntime", "openvino"):
        assert np.abs(answer(tmp_path / "m.onnx", {"x": x}, runtime)["y"] - truth).max() < bound


def product(operator: str, **attributes: Any) -> ir.Model:
    """Return `x` [batch, 6] times a constant matrix, plus a bias where the operator has one."""
    rng = np.random.default_rng(1)
    shape = (5, 6) if attributes.get("transB") else (6, 5)
    weights = [numpy_helper.from_array(rng.uniform(-1, 1, shape).astype(np.float32), "w")]
    if operator == "Gemm":
        weights.append(numpy_helper.from_array(rng.uniform(-1, 1, 5).astype(np.float32), "b"))
    node = helper.make_node(operator, ["x", *(w.name for w in weights)], ["y"], "product", **attributes)
    size = [6, "batch"] if attributes.get("transA") else ["batch", 6]
    return graph_model([node], size, ["batch", 5], weights)


def of_matrix(model: ir.Model) -> dict[str, Encoding]:
    weight = constant(model, "w")
    channels = 0 if weight.shape == (5, 6) else 1
    return {"w": symmetric(np.abs(weight).max(1 - channels), axis=channels)}


def test_one_weight_in_two_forms(tmp_path: Path) -> None:
    """A weight that an integer layer and a float layer share is written once for each."""
    weight = numpy_helper.from_array(np.random.default_rng(2).uniform(-1, 1, (6, 6)).astype(np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    model = graph_model(nodes, ["batch", 6], ["batch", 6], [weight])
    tensors = {"w": symmetric(np.abs(numpy_helper.to_array(weight)).max(0), axis=1), "x": affine(-1, 1, signed=False)}
    x = np.random.default_rng(0).uniform(-1, 1, (4, 6)).astype(np.float32)

    EXPORTER.export(model, Encodings(tensors=tensors), tmp_path / "m.onnx")
    EXPORTER.export(model, Encodings(), tmp_path / "float.onnx")

    found = kernels(tmp_path / "m.onnx")
    assert "MatMulIntegerToFloat" in found or "QLinearMatMul" in found
    assert "MatMul" in found
    assert (
        np.abs(answer(tmp_path / "m.onnx", {"x": x})["y"] - answer(tmp_path / "float.onnx", {"x": x})["y"]).max() < 0.1
    )


@pytest.mark.parametrize("encoded", ["x", "y"])
def test_the_models_ports_keep_their_names(encoded: str, tmp_path: Path) -> None:
    model = graph_model([helper.make_node("Relu", ["x"], ["y"])], ["batch", 3], ["batch", 3], [])
    encoding = affine(0 if encoded == "y" else -1, 1, signed=False)

    EXPORTER.export(model, Encodings(tensors={encoded: encoding}), tmp_path / "m.onnx")

    assert model_tensors(read_model(tmp_path / "m.onnx")) == model_tensors(model)
    found = answer(tmp_path / "m.onnx", {"x": np.array([[-0.5, 0.25, 0.5]], np.float32)})["y"]
    np.testing.assert_allclose(found, [[0, 0.25, 0.5]], atol=encoding.scale[0])


def test_a_name_of_ours_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["x_q"]), helper.make_node("Neg", ["x_q"], ["x_d"])]
    nodes.append(helper.make_node("Add", ["x_d", "x_s"], ["y"]))
    one = numpy_helper.from_array(np.float32([1.0]), "x_s")
    model = graph_model(nodes, ["batch", 1], ["batch", 1], [one])

    EXPORTER.export(model, Encodings(tensors={"x": affine(0, 2.55, signed=False)}), tmp_path / "m.onnx")

    assert answer(tmp_path / "m.onnx", {"x": np.float32([[2.0]])})["y"] == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize("opset", [9, 11])
def test_old_operators_are_raised_where_channels_have_scales(opset: int, tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).uniform(-1, 1, (6, 5)).astype(np.float32), "w")
    model = graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 6], ["n", 5], [weight], opset=opset)

    EXPORTER.export(model, Encodings(tensors=of_matrix(model)), tmp_path / "m.onnx")

    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 13
    assert answer(tmp_path / "m.onnx", {"x": np.ones((2, 6), np.float32)})["y"].shape == (2, 5)


@pytest.mark.parametrize("entering", [{}, {"x": affine(-255, 0, signed=False)}])
def test_weights_in_the_body_of_an_if(entering: dict[str, Encoding], tmp_path: Path) -> None:
    """The body reads a weight of the outer graph and one of its own; what it reads may be integers, it computes in float."""
    rng = np.random.default_rng(0)
    outer, inner = (
        numpy_helper.from_array(rng.uniform(-1, 1, (4, 4)).astype(np.float32), n) for n in ("outer", "inner")
    )
    out = helper.make_tensor_value_info("h", 1, ["n", 4])
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "outer"], ["o"]), helper.make_node("MatMul", ["o", "inner"], ["h"])],
        "b",
        [],
        [out],
        [inner],
    )
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["h"])], "e", [], [out])
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    nodes = [
        helper.make_node("ReduceMin", ["x"], ["least"], keepdims=0),
        helper.make_node("Less", ["least", "zero"], ["negative"]),  # not known beforehand: the branch stays one
        helper.make_node("If", ["negative"], ["y"], then_branch=body, else_branch=other),
    ]
    model = graph_model(nodes, ["n", 4], ["n", 4], [outer, zero])
    tensors = {w.name: symmetric(np.abs(numpy_helper.to_array(w)).max(0), axis=1) for w in (outer, inner)}
    x = -np.eye(4, dtype=np.float32)

    EXPORTER.export(model, Encodings(tensors={**tensors, **entering}), tmp_path / "m.onnx")

    held = [tensors[w.name].dequantize(tensors[w.name].quantize(numpy_helper.to_array(w))) for w in (outer, inner)]
    np.testing.assert_allclose(answer(tmp_path / "m.onnx", {"x": x})["y"], -held[0] @ held[1], atol=1e-6)


def test_weights_that_are_inputs_too_become_constants(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    inputs = [value("x", 1, ["n", 2]), value("w", 1, [2, 2])]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", inputs, [value("y", 1, ["n", 2])], [weight]
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=3))

    EXPORTER.export(model, Encodings(tensors={"w": symmetric([1.0, 1.0], axis=1)}), tmp_path / "m.onnx")

    assert [port.name for port in onnx.load(tmp_path / "m.onnx").graph.input] == ["x"]
    assert "Cast" not in kernels(tmp_path / "m.onnx")
