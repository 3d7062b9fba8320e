"""Static encodings of activations, as a target's scheme asks for them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

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
