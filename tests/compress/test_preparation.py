"""A simpler graph with the same answers, on graphs of which each rewrite has something to do."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgeml_compress import prepare
from edgeml_compress.graph.layers import weights
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.models import read_model

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


def test_external_data_is_read_where_operators_are_raised(graph, run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    weights = {**CONV, "w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)}
    ir.save(graph(NORMED, weights, opset=11), tmp_path / "far.onnx", external_data="far.data", size_threshold_bytes=0)
    model = read_model(tmp_path / "far.onnx")
    found = prepare(model, where="t")
    assert kinds(found.model) == ["Conv"] and found.model.opset_imports[""] >= 13
    expect_same_answers(graph(NORMED, weights), found.model, run)


def test_functions_are_unfolded(run) -> None:  # type: ignore[no-untyped-def]
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17, "of.ours" : 1]>
        t (float[b, 5] x) => (float[b, 4] y) <float[5, 4] w> { a = of.ours.Dense(x, w)
 y = Relu(a) }
        <domain: "of.ours", opset_import: ["" : 17]> Dense (p, q) => (r) { n = Neg(p)
 r = MatMul(n, q) }""")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((5, 4), np.float32), "w"))
    model = ir.from_proto(proto)
    found = prepare(model, where="t").model
    assert kinds(found) == ["Neg", "MatMul", "Relu"] and list(weights(found)) == ["w"]
    expect_same_answers(model, found, run, {"x": np.ones((3, 5), np.float32)})


@pytest.mark.parametrize("opset", range(9, 24))
def test_every_opset_is_taken(opset, graph, run) -> None:  # type: ignore[no-untyped-def]
    model = graph(NORMED, CONV, opset=opset)
    found = prepare(model, where="t").model
    assert kinds(found) == ["Conv"] and found.opset_imports[""] == max(opset, 14)
    expect_same_answers(model, found, run)


def test_an_operator_that_cannot_be_raised_leaves_the_model_at_its_opset(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[3, 4] x) => (float[3, 4] y, float[3, 4] z) { z = Scatter<axis = 0>(x, i, u)
 y = Relu(x) }"""
    weights = {"i": np.zeros((1, 4), np.int64), "u": np.ones((1, 4), np.float32)}
    found = prepare(graph(text, weights, opset=10), where="t").model
    assert found.opset_imports[""] in (10, 14)  # as ONNX's converter is able to


QUANTIZED = {
    "an operator of ONNX Runtime's": "y = com.microsoft.QLinearSigmoid(u, s, z, s, z)",
    "a product of integers": "y = MatMulInteger(u, w)",
    "weights that are stored as integers": "f = Cast<to = 1>(w)\n g = Mul(f, s)\n y = MatMul(x, g)",
}


@pytest.mark.parametrize("how", QUANTIZED)
def test_a_quantized_model_is_refused_in_whatever_form(how, graph) -> None:  # type: ignore[no-untyped-def]
    text = f"t (float[b, 20] x, uint8[b, 20] u) => (float[b, c] y) {{ {QUANTIZED[how]} }}"
    model = graph(text, {"w": np.ones((20, 20), np.int8), "s": np.float32(1), "z": np.uint8(0)})
    with pytest.raises(EdgemlError, match=r"^a\.onnx: it is quantized already"):
        prepare(model, where="a.onnx")


def test_a_weight_of_a_branch_that_is_not_finite_is_named(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 4] x, bool f) => (float[b, 4] y) { y = If(f) <
        then_branch = p () => (float[b, 4] o) { o = MatMul(x, w) }, else_branch = q () => (float[b, 4] o) { o = Relu(x) }> }"""
    with pytest.raises(EdgemlError, match="weight w holds a value that is not finite"):
        prepare(graph(text, {"w": np.full((4, 4), np.inf, np.float32)}), where="a.onnx")


def test_a_bias_that_is_not_a_number_is_named_and_an_infinite_bound_is_fine(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, 4] x) => (float[b, 4] y) { a = Clip(x, low, high)\n y = Add(a, b) }"
    given = {"low": np.float32(-np.inf), "high": np.float32(np.inf), "b": np.zeros(4, np.float32)}
    prepare(graph(text, given), where="a.onnx")
    with pytest.raises(EdgemlError, match="weight b holds a value that is not finite"):
        prepare(graph(text, {**given, "b": np.full(4, np.nan, np.float32)}), where="a.onnx")


def test_an_output_that_nobody_asked_for_stays_left_out(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[s, b, 8] x) => (float[1, b, 4] y) { , y = LSTM<hidden_size = 4>(x, w, r) }"
    model = graph(text, {"w": np.ones((1, 16, 8), np.float32), "r": np.ones((1, 16, 4), np.float32)})
    (node,) = prepare(model, where="t").model.graph
    assert node.outputs[0].name == ""  # a name would have it computed


def test_notes_of_the_exporter_go(graph) -> None:  # type: ignore[no-untyped-def]
    model = graph(NORMED, CONV)
    for node in model.graph:
        node.doc_string, node.metadata_props["namespace"] = "from line 12", "net"
    assert not any(n.doc_string or n.metadata_props for n in prepare(model, where="t").model.graph)


def test_what_only_an_unused_branch_reads_goes_with_it(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 4] x, bool f) => (float[b, 4] y) { a = MatMul(x, w)
 unread = If(f) <then_branch = p () => (float[b, 4] o) { o = MatMul(a, w) }, else_branch = q () => (float[b, 4] o) { o = Relu(a) }>
 none = Relu(unread)
 y = Abs(x) }"""
    found = prepare(graph(text, {"w": np.ones((4, 4), np.float32)}), where="t").model
    assert kinds(found) == ["Abs"] and not found.graph.initializers


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_a_weight_that_is_half_or_double_is_refused(kind, graph) -> None:  # type: ignore[no-untyped-def]
    name = {np.float16: "float16", np.float64: "double"}[kind]
    text = f"t ({name}[b, 5] x) => ({name}[b, 4] y) {{ y = MatMul(x, w) }}"
    model = graph(text, {"w": np.ones((5, 4), kind)})
    with pytest.raises(EdgemlError, match=rf"^a\.onnx: weight w is {name}, .*; give the float32 model$"):
        prepare(model, where="a.onnx")


def test_a_weight_that_is_stored_as_half_and_widened_is_fine(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, 5] x) => (float[b, 4] y) { wide = Cast<to = 1>(w)\n y = MatMul(x, wide) }"
    assert len(weights(prepare(graph(text, {"w": np.ones((5, 4), np.float16)}), where="t").model)) == 1


def test_a_constant_sequence_stays_a_sequence(graph, run) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 8] x, int64 i) => (float[b, 8] y) {
        s = SequenceConstruct(one, two)
        w = SequenceAt(s, i)
        y = MatMul(x, w)
    }"""
    model = graph(text, {name: RNG.standard_normal((8, 8)).astype(np.float32) for name in ("one", "two")})
    found = prepare(model, where="t").model
    assert kinds(found) == ["SequenceConstruct", "SequenceAt", "MatMul"]
    expect_same_answers(model, found, run, {"x": RNG.standard_normal((2, 8)).astype(np.float32), "i": np.array(1)})
