"""What holds weights is found, and what stays in float for its place or form is said with the reason."""

from __future__ import annotations

import numpy as np

from edgeml_compress import prepare
from edgeml_compress.graph.layers import untouched

MATRIX = np.ones((20, 20), np.float32)


def said(model, operators=None) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    return untouched(prepare(model, where="t").model, operators)


def test_layers_in_a_branch_and_in_a_loop_are_told_with_their_place(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 20] x, bool f) => (float[b, 20] y) {
        n = Constant<value = int64 {3}>()
        [choose] a = If(f) <then_branch = p () => (float[b, 20] o) { [first] o = MatMul(x, w) },
            else_branch = q () => (float[b, 20] o) { o = Relu(x) }>
        [repeat] y = Loop(n, , a) <body = l (int64 i, bool c, float[b, 20] s) => (bool k, float[b, 20] o) {
            k = Identity(c)
            [again] o = MatMul(s, w) }>
    }"""
    assert said(graph(text, {"w": MATRIX})) == (
        "MatMul first: it lies in a branch of choose, where activations stay in float",
        "MatMul again: it lies in the body of repeat, where activations stay in float",
    )


def test_weights_that_are_computed_or_of_another_type_are_told(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[1, 3, 8, 8] x, float[4, 3, 3, 3] k, double[b, 20] d, float[b, 20] f) => (float[1, 4, 6, 6] y, double[b, 20] z, float[b, 20] u) {
        [free] y = Conv(x, k)
        [wide] z = MatMul(d, w)
        [float] u = MatMul(f, v)
    }"""
    assert said(graph(text, {"w": np.float64(MATRIX), "v": MATRIX})) == (
        "Conv free: its weight is computed, not a constant",
        "MatMul wide: its weight is DOUBLE, and float32 is what becomes integers",
    )


def test_operators_of_others_and_constants_that_no_layer_reads_are_told(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[20, 20] x) => (float[20, 20] y) { [own] g = com.microsoft.Gelu(x)\n a = Add(g, places)\n y = MatMul(left, a) }"
    assert said(graph(text, {"places": MATRIX, "left": MATRIX * 2})) == (
        "Gelu own: no operator of ONNX's own, but of com.microsoft",
        "places: 400 values that are no layer's weight, read by Add",
        "left: 400 values that are no layer's weight, read by MatMul",
    )


def test_layers_without_an_integer_kernel_are_told_where_the_targets_operators_are_known(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[s, 1, 20] x) => (float[s, 1, 20] z) { y = LSTM<hidden_size = 5>(x, w, r)\n q = Squeeze(y, a)\n z = MatMul(q, m) }"
    weights = {"w": MATRIX[None], "r": MATRIX[None, :, :5] * 2, "m": MATRIX[:5] * 3, "a": np.int64([1])}
    model = graph(text, weights)
    (line,) = said(model, {"MatMul"})
    assert line.startswith("LSTM ") and line.endswith(
        "the target has no integer kernel for it, so activations stay in float"
    )
    assert said(model) == ()
