"""GPTQ at 4 bits and in blocks, on inputs that depend on each other, as a network's do."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.graph.layers import constant
from edgeml_compress.layerwise.simulation import on_grid

RNG = np.random.default_rng(1)
MIXING = RNG.standard_normal((8, 64))  # 64 inputs from 8 causes: what one is off, another can make up for


def correlated(count: int) -> np.ndarray:
    causes = RNG.standard_normal((count, 8)) @ MIXING
    return (causes + 0.1 * RNG.standard_normal((count, 64))).astype(np.float32)


SAMPLES, FRESH = {"x": correlated(256)}, {"x": correlated(256)}
WEIGHTS = {
    "w1": RNG.standard_normal((64, 48)).astype(np.float32),
    "b1": RNG.standard_normal(48).astype(np.float32),
    "w2": RNG.standard_normal((48, 16)).astype(np.float32),
    "b2": RNG.standard_normal(16).astype(np.float32),
}
DENSE = "t (float[b, 64] x) => (float[b, 16] y) { a = Gemm(x, w1, b1) r = Relu(a) y = Gemm(r, w2, b2) }"


@pytest.mark.parametrize("form", [{"bits": 4}, {"bits": 3}, {"bits": 4, "block": 32}])
def test_the_error_of_few_bits_falls_to_half(form, graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES)
    nearest, chosen = passed(draft, ("quantize_weights", form)), passed(draft, ("quantize_weights", form), "gptq")
    assert error_of(chosen, draft.model, FRESH) < error_of(nearest, draft.model, FRESH) / 2


def test_every_weight_lies_on_its_grid(graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    done = passed(drafted(graph(DENSE, WEIGHTS), SAMPLES), ("quantize_weights", {"bits": 4}), "gptq")
    for name in ("w1", "w2"):
        values = constant(done.model.graph.initializers[name])
        np.testing.assert_array_equal(on_grid(done.encodings.tensors[name], values), values)
        assert not np.array_equal(values, on_grid(done.encodings.tensors[name], WEIGHTS[name]))


def test_it_is_the_same_bit_for_bit(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES)
    assert same_weights(*(passed(draft, ("quantize_weights", {"bits": 4}), "gptq") for _ in range(2)))


def test_where_sums_of_neighbours_are_limited_a_weight_is_rounded_up_or_down(graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES, pair_sum=126)
    done = passed(draft, "quantize_weights", "static_activations", "gptq")
    for name in ("w1", "w2"):
        encoding, values = done.encodings.tensors[name], constant(done.model.graph.initializers[name])
        assert (np.abs(values - WEIGHTS[name]) < encoding.dequantize(np.ones(values.shape, np.int8)) * (1 + 1e-5)).all()


def test_without_encodings_nothing_changes(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES)
    assert same_weights(draft, passed(draft, "gptq"))


def test_what_it_leaves_alone_is_said(graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES)
    done = passed(draft, ("quantize_weights", {"bits": 4}), ("gptq", {"most_inputs": 50}))
    assert len(done.notes) == 1 and done.notes[0].endswith("a: rounded to nearest, an output has 64 inputs, 50 allowed")


def test_biases_can_be_corrected_afterwards(graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(DENSE, WEIGHTS), SAMPLES)
    chosen = passed(draft, ("quantize_weights", {"bits": 3}), "gptq")
    both = passed(draft, ("quantize_weights", {"bits": 3}), "gptq", "correct_biases")
    assert error_of(both, draft.model, SAMPLES) < error_of(chosen, draft.model, SAMPLES)


@pytest.mark.parametrize(
    ("group", "attributes"), [(1, "strides = [2, 2]"), (4, "pads = [1, 0, 2, 1]"), (8, "dilations = [2, 2]")]
)
def test_convolutions_of_every_kind_gain(group, attributes, graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    smooth = RNG.standard_normal((2, 24, 8, 1, 1)) + 0.3 * RNG.standard_normal((2, 24, 8, 9, 9))
    samples, fresh = ({"x": s.astype(np.float32)} for s in smooth)
    weights = {"w": RNG.standard_normal((16, 8 // group, 3, 3)).astype(np.float32)}
    text = f"t (float[b, 8, 9, 9] x) => (float[b, 16, h, k] y) {{ y = Conv <group = {group}, {attributes}> (x, w) }}"
    draft = drafted(graph(text, weights), samples)
    nearest, chosen = (passed(draft, ("quantize_weights", {"bits": 3}), *more) for more in ((), ("gptq",)))
    assert error_of(chosen, draft.model, fresh) < error_of(nearest, draft.model, fresh) / 1.3
