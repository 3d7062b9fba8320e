"""A layer as a matrix product gives what ONNX Runtime gives for the operator, and a weight survives the way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeml_compress.graph.running import open_session
from edgeml_compress.layerwise.products import as_matrix, columns, from_matrix, picked, why_no_product


@dataclass(frozen=True)
class Layer:
    """An operator with a weight and what enters it."""

    operator: str
    attributes: dict[str, Any]
    weight: np.ndarray
    entering: np.ndarray

    def node(self) -> ir.Node:
        values = [
            ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(array.shape))
            for name, array in (("x", self.entering), ("w", self.weight))
        ]
        return ir.node(self.operator, values, self.attributes)

    def answer(self) -> np.ndarray:
        node = self.node()
        node.outputs[0].name, node.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
        inputs = [value for value in node.inputs if value is not None]
        graph = ir.Graph(inputs, node.outputs, nodes=[node], opset_imports={"": 17}, name="g")
        session = open_session(ir.Model(graph, ir_version=8))
        return np.asarray(session.run(None, {"x": self.entering, "w": self.weight})[0])


def normal(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def convolutions(draw: st.DrawFn) -> Layer:
    """Draw a convolution of one, two or three axes, grouped or depthwise, strided, dilated, padded by number or by name."""
    rank, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    inputs, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 3))

    def an_axis(low: int, high: int) -> list[int]:
        return [draw(st.integers(low, high)) for _ in range(rank)]

    kernel, strides, dilations = an_axis(1, 3), an_axis(1, 3), an_axis(1, 2)
    padding: dict[str, Any] = {"auto_pad": draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))}
    if draw(st.booleans()):
        padding = {"pads": an_axis(0, 2) + an_axis(0, 2)}
    if padding.get("auto_pad", "").startswith("SAME"):
        dilations = [1] * rank  # ONNX Runtime takes no other there
    size = [(k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilations, strict=True)]
    seed, samples = draw(st.integers(0, 9)), draw(st.integers(1, 3))
    attributes = {"group": groups, "kernel_shape": kernel, "strides": strides, "dilations": dilations, **padding}
    weight = normal((groups * outputs, inputs, *kernel), seed)
    return Layer("Conv", attributes, weight, normal((samples, groups * inputs, *size), seed + 1))


PRODUCTS = [
    Layer("Gemm", {}, normal((6, 4), 0), normal((5, 6), 1)),
    Layer("Gemm", {"transB": 1}, normal((4, 6), 0), normal((5, 6), 1)),
    Layer("MatMul", {}, normal((6, 4), 0), normal((2, 3, 6), 1)),
    Layer("MatMul", {}, normal((6, 4), 0), normal((2, 2, 3, 6), 1)),
]


def holds(layer: Layer, most: int) -> None:
    node = layer.node()
    matrix = as_matrix(node, layer.weight)
    got = matrix @ columns(node, layer.entering, layer.weight.shape[2:], most)
    wanted = picked(node, layer.answer(), most)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, atol=1e-4)


@given(convolutions(), st.sampled_from([1, 3, 1000]))
@settings(max_examples=60)
def test_a_convolution_is_its_matrix_times_its_columns(layer: Layer, most: int) -> None:
    holds(layer, most)


@pytest.mark.parametrize("layer", PRODUCTS)
def test_a_matrix_product_is_its_matrix_times_its_columns(layer: Layer) -> None:
    holds(layer, 1000)


@given(convolutions())
@settings(max_examples=30)
def test_a_convolutions_weight_survives_the_way_there_and_back(layer: Layer) -> None:
    node = layer.node()
    np.testing.assert_array_equal(from_matrix(node, as_matrix(node, layer.weight), layer.weight), layer.weight)


@pytest.mark.parametrize("layer", PRODUCTS)
def test_a_matrix_survives_the_way_there_and_back(layer: Layer) -> None:
    node = layer.node()
    np.testing.assert_array_equal(from_matrix(node, as_matrix(node, layer.weight), layer.weight), layer.weight)


def test_few_positions_are_spread_over_the_whole_and_are_those_of_all() -> None:
    layer = Layer("Conv", {}, normal((2, 2, 1, 1), 0), normal((3, 2, 8, 8), 1))
    node = layer.node()
    every, few = columns(node, layer.entering, (1, 1), 64), columns(node, layer.entering, (1, 1), 4)
    assert every.shape == (1, 2, 3 * 64) and few.shape == (1, 2, 3 * 4)
    np.testing.assert_array_equal(few, every.reshape(1, 2, 3, 64)[..., [0, 21, 42, 63]].reshape(1, 2, 12))


@pytest.mark.parametrize(
    ("operator", "attributes", "rank"),
    [("MatMul", {}, 3), ("Gemm", {"transA": 1}, 2), ("Gemm", {"alpha": 0.5}, 2), ("LSTM", {}, 3)],
)
def test_what_is_no_product_says_why_and_has_no_matrix(operator: str, attributes: dict[str, Any], rank: int) -> None:
    node = Layer(operator, attributes, normal((2,) * rank, 0), normal((2, 2), 1)).node()
    assert why_no_product(node, rank)
    with pytest.raises(ValueError, match=str(why_no_product(node, rank))):
        as_matrix(node, normal((2,) * rank, 0))
