"""A simpler graph with the same answers, on graphs of which each rewrite has something to do."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress import prepare
from edgeml_targets.contract.errors import EdgemlError

RNG = np.random.default_rng(0)
SAMPLE = {"x": RNG.standard_normal((2, 3, 6, 6)).astype(np.float32)}
NORM = {name: RNG.uniform(0.5, 1.5, 4).astype(np.float32) for name in ("scale", "shift", "mean", "var")}
CONV = {"w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32), **NORM}
NORMED = """
    tiny (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {
        c = Conv(x, w)
        y = BatchNormalization(c, scale, shift, mean, var)
    }"""


def kinds(model) -> list[str]:  # type: ignore[no-untyped-def]
    return [node.op_type for node in model.graph]


def expect_same_answers(before, after, run, feed=SAMPLE) -> None:  # type: ignore[no-untyped-def]
    for expected, got in zip(run(before, feed), run(after, feed), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_batch_norm_is_folded_into_its_convolution(graph, run) -> None:  # type: ignore[no-untyped-def]
    model = graph(NORMED, CONV)
    found = prepare(model, where="t")
    assert found.changes["fold_batch_norm"] == 1 and kinds(found.model) == ["Conv"]
    expect_same_answers(model, found.model, run)
    assert [v.name for v in found.model.graph.outputs] == ["y"]


def test_a_batch_norm_whose_convolution_is_read_by_another_stays(graph) -> None:  # type: ignore[no-untyped-def]
    text = NORMED.replace("=> (float[b, 4, 4, 4] y)", "=> (float[b, 4, 4, 4] y, float[b, 4, 4, 4] c)")
    assert kinds(prepare(graph(text, CONV), where="t").model) == ["Conv", "BatchNormalization"]


@pytest.mark.parametrize("kind", ["transposed", "dense"])
def test_a_batch_norm_is_folded_along_the_right_axis(kind, graph, run) -> None:  # type: ignore[no-untyped-def]
    if kind == "transposed":
        text = NORMED.replace("Conv(x, w)", "ConvTranspose(x, w)").replace("4, 4, 4] y", "4, 8, 8] y")
        weights, feed = {**CONV, "w": RNG.standard_normal((3, 4, 3, 3)).astype(np.float32)}, SAMPLE
    else:
        text = """t (float[b, 5] x) => (float[b, 4] y) {
            c = Gemm(x, w, bias)
            y = BatchNormalization(c, scale, shift, mean, var)
        }"""
        weights = {**NORM, "w": RNG.standard_normal((5, 4)).astype(np.float32), "bias": np.ones(4, np.float32)}
        feed = {"x": RNG.standard_normal((2, 5)).astype(np.float32)}
    model = graph(text, weights)
    found = prepare(model, where="t")
    assert found.changes["fold_batch_norm"] == 1
    expect_same_answers(model, found.model, run, feed)


def test_a_weight_that_two_convolutions_share_is_folded_for_each_alone(graph, run) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y, float[b, 4, 4, 4] z) {
        c = Conv(x, w)
        y = BatchNormalization(c, scale, shift, mean, var)
        two = Constant <value = float {2.0}> ()
        x2 = Mul(x, two)
        z = Conv(x2, w)
    }"""
    model = graph(text, CONV)
    expect_same_answers(model, prepare(model, where="t").model, run)


def test_what_depends_on_constants_alone_is_computed(graph, run) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 3, 6, 6] x) => (float[b, 3, 6, 6] y) {
        one = Constant <value = float {1.0}> ()
        two = Add(one, one)
        four = Mul(two, two)
        y = Mul(x, four)
    }"""
    model = graph(text)
    found = prepare(model, where="t")
    assert kinds(found.model) == ["Mul"]
    expect_same_answers(model, found.model, run)


def test_a_constant_that_folding_would_blow_up_stays_an_operator(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b] x) => (float[n] y) {
        shape = Constant <value = int64[1] {1000000}> ()
        zeros = ConstantOfShape(shape)
        y = Add(x, zeros)
    }"""
    assert "ConstantOfShape" in kinds(prepare(graph(text), where="t").model)


def test_identities_and_dropouts_go_and_outputs_keep_their_names(graph, run) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 3, 6, 6] x) => (float[b, 3, 6, 6] y, float[b, 3, 6, 6] same) {
        a = Identity(x)
        r = Relu(a)
        d = Dropout(r)
        y = Identity(d)
        same = Identity(x)
    }"""
    model = graph(text)
    found = prepare(model, where="t")
    assert sorted(kinds(found.model)) == ["Identity", "Relu"]  # an input that is also an output needs its node
    assert [v.name for v in found.model.graph.outputs] == ["y", "same"]
    expect_same_answers(model, found.model, run)


def test_a_product_and_its_bias_are_joined(graph, run) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 5] x) => (float[b, 4] y) {
        p = MatMul(x, w)
        y = Add(bias, p)
    }"""
    model = graph(text, {"w": RNG.standard_normal((5, 4)).astype(np.float32), "bias": np.arange(4, dtype=np.float32)})
    found = prepare(model, where="t")
    assert kinds(found.model) == ["Gemm"] and found.model.graph.outputs[0].name == "y"
    expect_same_answers(model, found.model, run, {"x": np.ones((3, 5), np.float32)})


def test_a_constant_node_becomes_a_weight(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 2] x) => (float[b, 2] y) {
        w = Constant <value = float[2, 2] {1.0, 2.0, 3.0, 4.0}> ()
        y = MatMul(x, w)
    }"""
    found = prepare(graph(text), where="t").model
    assert kinds(found) == ["MatMul"] and "w" in found.graph.initializers


def test_the_model_that_was_given_is_not_changed(graph) -> None:  # type: ignore[no-untyped-def]
    model = graph(NORMED, CONV)
    prepare(model, where="t")
    assert kinds(model) == ["Conv", "BatchNormalization"]
    assert set(model.graph.initializers) == set(CONV)


def test_a_quantized_model_is_refused(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b] x) => (uint8[b] y) { y = QuantizeLinear(x, s, z) }"
    model = graph(text, {"s": np.float32(1), "z": np.uint8(0)})
    with pytest.raises(EdgemlError, match=r"^a\.onnx: it is quantized already \(QuantizeLinear"):
        prepare(model, where="a.onnx")


def test_a_weight_that_is_not_finite_is_named(graph) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EdgemlError, match=r"^a\.onnx: weight w holds a value that is not finite"):
        prepare(graph(NORMED, {**CONV, "w": np.full((4, 3, 3, 3), np.nan, np.float32)}), where="a.onnx")
