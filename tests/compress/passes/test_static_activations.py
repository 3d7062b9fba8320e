"""Static encodings of activations, as a target's scheme asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeml_compress.passes import static_activations
from edgeml_compress.passes.quantize_weights import Params, quantize_weights
from edgeml_targets.exporters.tflite import convert

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
