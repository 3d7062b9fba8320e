"""What of a network's end stays in float, and why."""

from __future__ import annotations

import numpy as np
import onnx_ir.passes.common as common
import pytest

from edgeml_compress.ends import float_ends, products
from edgeml_targets.target import Scheme

OPERATORS = ("Conv", "Gather", "Gemm", "MatMul", "Relu", "Reshape", "Flatten", "MaxPool")
WEIGHTS = {
    "k": np.ones((4, 3, 1, 1), np.float32),
    "w": np.ones((4, 5), np.float32),
    "v": np.ones((5, 6), np.float32),
    "q": np.ones((4, 4), np.float32),
    "q2": np.ones((4, 4), np.float32) * 2,
    "last": np.ones((6, 6), np.float32),
    "some": np.arange(4),
    "shape": np.array([0, -1], np.int64),
}


@pytest.fixture
def ends(graph):  # type: ignore[no-untyped-def]
    """Return a function that gives the nodes at a graph's end that stay in float, by their result."""

    def find(signature: str, body: str, least: int) -> dict[str, str]:
        model = graph(f"t ({signature}) => (float[b, n] y) {{ {body} }}", WEIGHTS)
        common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
        scheme = Scheme(operators=OPERATORS, least_products=least)
        integer = [node for node in model.graph if node.op_type in OPERATORS]
        return {str(node.outputs[0].name): why for node, why in float_ends(integer, scheme).items()}

    return find


POOLED = "c = Conv(x, k) p = MaxPool <kernel_shape = [2, 2]> (c) f = Flatten(p) y = Gemm(f, w)"
IMAGE = "float[b, 3, 2, 2] x"


def test_a_small_product_at_the_end_stays_in_float_and_the_view_before_it(ends) -> None:  # type: ignore[no-untyped-def]
    found = ends(IMAGE, POOLED, least=21)
    assert set(found) == {"y", "f"} and found["y"].endswith("small: 20 products")
    assert ends(IMAGE, POOLED, least=20) == {}


def test_a_view_that_an_integer_operator_reads_is_no_end(ends) -> None:  # type: ignore[no-untyped-def]
    body = "c = Conv(x, k) f = Flatten(c) r = Relu(f) y = Reshape(r, shape)"
    assert set(ends(IMAGE, body, least=0)) == {"y"}


def test_a_product_in_the_middle_stays_an_integer_however_small(ends) -> None:  # type: ignore[no-untyped-def]
    body = "m = MatMul(x, w) r = Relu(m) y = MatMul(r, v)"
    assert set(ends("float[b, 4] x", body, least=1000)) == {"y"}


def test_what_was_asked_for_is_no_end(graph) -> None:  # type: ignore[no-untyped-def]
    model = graph("t (float[b, 4] x) => (float[b, 6] y) { m = MatMul(x, w) y = MatMul(m, v) }", WEIGHTS)
    common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    integer, scheme = list(model.graph), Scheme(operators=OPERATORS, least_products=1000)
    assert list(float_ends(integer, scheme, asked=integer[:1])) == integer[1:]
    assert not float_ends(integer, scheme, asked=integer[1:])


def test_a_network_that_would_be_all_float_keeps_its_integers(ends) -> None:  # type: ignore[no-untyped-def]
    assert ends("float[b, 4] x", "m = MatMul(x, w) y = MatMul(m, v)", least=1000) == {}


@pytest.mark.parametrize(
    ("signature", "body", "count"),
    [
        ("float[b, 4] x", "y = Gemm(x, w)", 20),  # the batch is one sample
        ("float[b, 7, 4] x", "y = MatMul(x, w)", 140),
        ("float[b, 5] x", "y = Gemm <transB = 1> (x, w)", 20),
        ("float[b, t, 4] x", "y = MatMul(x, w)", None),  # of a sequence of any length
        ("float[batch, t, 4] x", "f = Reshape(x, rows) y = MatMul(f, w)", None),  # whose rows were counted as the batch
        ("float[batch, 4, 1, 1] x", "f = Reshape(x, rows) y = MatMul(f, w)", 20),  # a view that hides the batch
        ("float[b, 4] x, float[4, 5] z", "y = MatMul(x, z)", None),  # of two activations
        (IMAGE, "y = Conv(x, k)", None),
    ],
)
def test_products_are_counted_for_one_sample(graph, signature: str, body: str, count: int | None) -> None:  # type: ignore[no-untyped-def]
    model = graph(f"t ({signature}) => (float[b, n] y) {{ {body} }}", {**WEIGHTS, "rows": np.array([-1, 4], np.int64)})
    common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    (product,) = [node for node in model.graph if node.op_type != "Reshape"]
    assert products(product) == count


def test_a_product_of_a_sequence_of_any_length_is_not_small(ends) -> None:  # type: ignore[no-untyped-def]
    body = "m = MatMul(x, w) r = Relu(m) y = MatMul(r, v)"
    assert ends("float[b, t, 4] x", body, least=1000) == {}
    assert set(ends("float[b, 3, 4] x", body, least=91)) == {"y"}


def test_a_product_that_shares_its_weight_with_another_node_is_no_end(ends) -> None:  # type: ignore[no-untyped-def]
    """Were it one, the node in the middle would lose the integers of its weight with it."""
    tied = "m = MatMul(x, q) r = Relu(m) n = MatMul(r, q2) y = MatMul(n, q)"
    assert ends("float[b, 4] x", tied, least=1000) == {}
    both = "m = MatMul(x, w) r = Relu(m) n = MatMul(r, v) y = MatMul(n, last) z = MatMul(n, last)"
    assert set(ends("float[b, 4] x", both, least=1000)) == {"n", "y", "z"}


def test_an_integer_selection_is_no_layer_that_would_remain(ends) -> None:  # type: ignore[no-untyped-def]
    body = "s = Gather <axis = 1> (x, some) r = Relu(s) y = MatMul(r, w)"
    assert ends("float[b, 7] x", body, least=1000) == {}
