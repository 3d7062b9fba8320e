"""Static encodings of activations, as a target's scheme asks for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from edgeml_compress.forms import forms
from edgeml_compress.observers import Range
from edgeml_compress.passes import dynamic_activations, static_activations
from edgeml_compress.passes.quantize_weights import Params, quantize_weights
from edgeml_targets.exporters.tflite import convert
from edgeml_targets.target import Scheme

RNG = np.random.default_rng(0)
WEIGHTS = {
    "a": RNG.standard_normal((16, 8, 3, 3)).astype(np.float32) * 0.2,
    "deep": RNG.standard_normal((16, 1, 3, 3)).astype(np.float32) * 0.3,
    "b": RNG.standard_normal((8, 16, 3, 3)).astype(np.float32) * 0.1,
}
BODY = """g (float[b, 8, 12, 12] x) => (float[b, 8, 12, 12] y) {
    c = Conv <pads = [1, 1, 1, 1]> (x, a)
    d = Conv <pads = [1, 1, 1, 1], group = 16> (c, deep)
    y = Conv <pads = [1, 1, 1, 1]> (d, b)
}"""


def test_a_depthwise_convolution_between_integers_computes_in_float_where_that_is_faster(
    graph: Any, drafted: Any
) -> None:
    samples = {"x": RNG.standard_normal((8, 8, 12, 12)).astype(np.float32)}
    plain = drafted(graph(BODY, WEIGHTS), samples, activations_signed=True, least_summands=64)
    found = static_activations.static_activations(quantize_weights(plain, Params()), static_activations.Params())

    assert set(found.encodings.tensors) == {"x", "a", "c", "d", "b", "y"} and found.encodings.float16 == {"deep"}
    written = convert(found.model, found.encodings).operators
    assert written["DEPTHWISE_CONV_2D"] == 1 and written["QUANTIZE"] == 2  # the input, and what it gives
    assert written["DEQUANTIZE"] == 3  # its weight, what it reads, and the output


@pytest.mark.parametrize(
    ("low", "high", "signed"),
    [
        (-1.0, 1.5, True),  # the step grows from 2.5/255 to 3/255, by 1.2
        (-1.0, 3.0, False),  # it would grow by 1.5
        (0.0, 1.0, False),  # half of the integers would never be used
        (-1.0, 0.0, False),
    ],
)
def test_a_range_that_is_nearly_even_needs_no_zero_point_where_that_is_faster(
    low: float, high: float, signed: bool
) -> None:
    scheme = Scheme(operators=("Conv",), zero_points_from=1.5)
    found = static_activations.encode(Range(low, high), scheme)
    assert found.signed is signed and (not signed or set(found.zero_point) == {0})
    assert np.isclose(found.scale[0] * 127, 1.5) if signed else np.isclose(found.scale[0] * 255, high - low)


def test_a_product_too_small_to_pay_is_not_dynamic(graph: Any, drafted: Any) -> None:
    weights = {"v": RNG.standard_normal((8, 4)).astype(np.float32)}
    samples = {"x": RNG.standard_normal((8, 8)).astype(np.float32)}
    plain = drafted(graph("g (float[b, 8] x) => (float[b, 4] y) { y = MatMul(x, v) }", weights), samples)
    for least, dynamic in ((32, {"x"}), (33, set())):
        scheme = plain.scheme.model_copy(update={"least_products": least})
        draft = quantize_weights(dataclasses.replace(plain, scheme=scheme), Params())
        found = dynamic_activations.dynamic_activations(draft, dynamic_activations.Params())
        assert found.encodings.dynamic == dynamic


def test_a_weight_that_half_precision_cannot_hold_stays_in_float32(graph: Any, drafted: Any) -> None:
    samples = {"x": RNG.standard_normal((8, 8, 12, 12)).astype(np.float32)}
    large = WEIGHTS["deep"].copy()
    large[3, 0, 1, 1] = 1e6
    plain = drafted(graph(BODY, {**WEIGHTS, "deep": large}), samples, activations_signed=True, least_summands=64)
    found = static_activations.static_activations(quantize_weights(plain, Params()), static_activations.Params())
    assert found.encodings.float16 == frozenset() and "deep" not in found.encodings.tensors
    assert "deep: holds values above 65,504" in found.kept
    assert convert(found.model, found.encodings).operators["DEPTHWISE_CONV_2D"] == 1


def test_a_large_small_end_does_not_end_the_export(graph: Any, drafted: Any, error_of: Any) -> None:
    weights = {"c": WEIGHTS["a"], "w": RNG.standard_normal((16, 4)).astype(np.float32)}
    weights["w"][3, 2] = 1e5
    body = """g (float[b, 8, 6, 6] x) => (float[b, 4] y) {
        a = Conv(x, c) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w)
    }"""
    samples = {"x": RNG.standard_normal((8, 8, 6, 6)).astype(np.float32)}
    plain = drafted(graph(body, weights), samples, least_products=16_384)
    found = static_activations.static_activations(quantize_weights(plain, Params()), static_activations.Params())
    assert {"c", "x"} < set(found.encodings.tensors) and "w" not in found.encodings.tensors
    assert error_of(found, plain.model, samples) < 0.05


def test_a_weight_that_the_recipe_does_not_name_is_left_as_it_was(graph: Any, drafted: Any) -> None:
    samples = {"x": RNG.standard_normal((8, 8, 12, 12)).astype(np.float32)}
    plain = drafted(graph(BODY, WEIGHTS), samples, activations_signed=True, least_summands=64)
    some = quantize_weights(plain, Params(names=("a",)))
    found = static_activations.static_activations(some, static_activations.Params())
    assert found.encodings.float16 == frozenset() and "a" in found.encodings.tensors


def test_a_tied_weight_keeps_its_integers_in_the_middle(graph: Any, drafted: Any) -> None:
    weights = {n: RNG.standard_normal((64, 64)).astype(np.float32) for n in ("w", "v")}
    body = """g (float[b, 64] x) => (float[b, 64] y) {
        a = MatMul(x, w) r = Relu(a) m = MatMul(r, v) y = MatMul(m, w)
    }"""
    samples = {"x": RNG.standard_normal((8, 64)).astype(np.float32)}
    plain = drafted(graph(body, weights), samples, least_products=16_384)
    found = static_activations.static_activations(quantize_weights(plain, Params()), static_activations.Params())
    assert found.encodings.float16 == frozenset() and {"w", "v"} < set(found.encodings.tensors)
    assert [layer.form for layer in forms(found.model, found.encodings)] == ["int8"] * 3


def test_a_product_of_a_sequence_of_any_length_is_dynamic(graph: Any, drafted: Any) -> None:
    weights = {"v": RNG.standard_normal((8, 4)).astype(np.float32)}
    samples = {"x": RNG.standard_normal((8, 9, 8)).astype(np.float32)}
    model = graph("g (float[b, t, 8] x) => (float[b, t, 4] y) { y = MatMul(x, v) }", weights)
    plain = drafted(model, samples, least_products=16_384)
    found = dynamic_activations.dynamic_activations(quantize_weights(plain, Params()), dynamic_activations.Params())
    assert found.encodings.dynamic == {"x"}
