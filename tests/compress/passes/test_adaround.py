"""AdaRound learns which way to round; what it learns lies on the grid and comes out the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.graph.layers import constant

RNG = np.random.default_rng(2)
MIXING = RNG.standard_normal((4, 12, 1, 1))


def images(count: int) -> np.ndarray:
    causes = RNG.standard_normal((count, 4, 8, 8)) + 0.5
    return (np.einsum("bchw,cd->bdhw", causes, MIXING[:, :, 0, 0]) + 0.1).astype(np.float32)


SAMPLES, FRESH = {"x": images(32)}, {"x": images(32)}
WEIGHTS = {
    "w1": RNG.standard_normal((16, 12, 3, 3)).astype(np.float32),
    "b1": RNG.standard_normal(16).astype(np.float32),
    "wd": RNG.standard_normal((16, 1, 3, 3)).astype(np.float32),
    "w2": RNG.standard_normal((16, 6)).astype(np.float32),
}
NET = """t (float[b, 12, 8, 8] x) => (float[b, 6] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    r = Relu(a)
    d = Conv <group = 16> (r, wd)
    p = GlobalAveragePool(d)
    f = Flatten(p)
    y = Gemm(f, w2)
}"""
FEW = {"iterations": 600}


@pytest.mark.parametrize(
    "steps", [(("quantize_weights", {"bits": 3}),), (("quantize_weights", {"bits": 3}), "static_activations")]
)
def test_three_bits_lose_two_thirds_of_what_they_lost(steps, graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(NET, WEIGHTS), SAMPLES)
    nearest, learned = passed(draft, *steps), passed(draft, *steps, ("adaround", FEW))
    assert error_of(learned, draft.model, FRESH) < error_of(nearest, draft.model, FRESH) / 1.5


def test_every_weight_is_rounded_up_or_down(graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    done = passed(
        drafted(graph(NET, WEIGHTS), SAMPLES), ("quantize_weights", {"bits": 4}), ("adaround", {"iterations": 20})
    )
    for name in ("w1", "wd", "w2"):
        encoding, values = done.encodings.tensors[name], constant(done.model.graph.initializers[name])
        steps = encoding.dequantize(np.ones(values.shape, np.int8))
        np.testing.assert_array_equal(encoding.dequantize(encoding.quantize(values)), values)
        assert (np.abs(values - WEIGHTS[name]) <= steps * (1 + 1e-5)).all()


def test_a_seed_gives_the_same_bit_for_bit(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = passed(drafted(graph(NET, WEIGHTS), SAMPLES), ("quantize_weights", {"bits": 4}))
    first, again, other = (passed(draft, ("adaround", {"iterations": 20, "seed": s})) for s in (0, 0, 1))
    assert same_weights(first, again) and not same_weights(first, other)


def test_a_transposed_convolution_is_left_alone_and_said(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, 12, 8, 8] x) => (float[b, 4, h, k] y) { y = ConvTranspose(x, w) }"
    draft = drafted(graph(text, {"w": RNG.standard_normal((12, 4, 2, 2)).astype(np.float32)}), SAMPLES)
    weighed = passed(draft, "quantize_weights")
    done = passed(weighed, "adaround")
    assert len(done.notes) == 1 and done.notes[0].endswith("y: rounded to nearest, a ConvTranspose is not treated")
    assert same_weights(weighed, done)
