"""Biases take up what rounding shifts, whatever the operator; what has no bias says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeml_compress.graph.running import open_session
from edgeml_compress.recipe import Recipe
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.onnx import write_graph

RNG = np.random.default_rng(0)
SHIFTED = {"x": RNG.uniform(0.2, 1.0, (48, 6, 10, 10)).astype(np.float32)}
FRESH = {"x": RNG.uniform(0.2, 1.0, (48, 6, 10, 10)).astype(np.float32)}
WEIGHTS = {
    "w1": RNG.standard_normal((12, 6, 3, 3)).astype(np.float32) * 0.2,
    "wd": RNG.standard_normal((12, 1, 3, 3)).astype(np.float32) * 0.5,
    "w2": RNG.standard_normal((8, 12, 1, 1)).astype(np.float32) * 0.3,
    "wf": RNG.standard_normal((8, 5)).astype(np.float32),
}
CHAIN = """t (float[b, 6, 10, 10] x) => (float[b, 5] y) {
    a = Conv(x, w1)
    r = Relu(a)
    d = Conv <group = 12> (r, wd)
    s = Relu(d)
    e = Conv(s, w2)
    p = GlobalAveragePool(e)
    f = Flatten(p)
    y = Gemm(f, wf)
}"""
INT4 = (("quantize_weights", {"bits": 4}), "static_activations")


def test_the_error_of_four_bits_falls_to_a_third(graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(CHAIN, WEIGHTS), SHIFTED)
    before, after = passed(draft, *INT4), passed(draft, *INT4, "correct_biases")
    assert error_of(after, draft.model, FRESH) < error_of(before, draft.model, FRESH) / 3


def test_a_layer_answers_with_the_float_networks_mean(graph, drafted, passed, run) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(CHAIN, WEIGHTS), SHIFTED)
    done = passed(draft, ("quantize_weights", {"bits": 4}), "correct_biases")
    expected, got = run(draft.model, SHIFTED)[0], run(write_graph(done.model, done.encodings), SHIFTED)[0]
    np.testing.assert_allclose(got.mean(axis=0), expected.mean(axis=0), atol=1e-4 * np.abs(expected).max())


def test_what_is_not_rounded_is_not_corrected(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(CHAIN, WEIGHTS), SHIFTED)
    assert same_weights(draft, passed(draft, "correct_biases"))


def test_it_is_the_same_bit_for_bit(graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(CHAIN, WEIGHTS), SHIFTED)
    assert same_weights(*(passed(draft, *INT4, "correct_biases") for _ in range(2)))


@pytest.mark.parametrize(("added", "kept"), [(True, ()), (False, ("m: has no bias to correct",))])
def test_a_matrix_product_is_corrected_where_a_constant_is_added(added, kept, graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    body = "m = MatMul(x, w) y = Add(m, bias)" if added else "m = MatMul(x, w) y = Relu(m)"
    weights = {"w": RNG.standard_normal((16, 4)).astype(np.float32)}
    if added:
        weights["bias"] = np.ones(4, np.float32)
    model = graph(f"t (float[b, 3, 16] x) => (float[b, 3, 4] y) {{ {body} }}", weights)
    samples = {"x": RNG.uniform(0, 1, (32, 3, 16)).astype(np.float32)}
    done = passed(drafted(model, samples), *INT4, "correct_biases")
    assert [note.rpartition("_")[2] for note in done.notes] == list(kept)
    assert set(done.model.graph.initializers) <= set(done.encodings.tensors)  # an addend's encoding follows it


@pytest.mark.parametrize("samples", [24, 48])
def test_a_product_with_a_vector_has_no_channels(samples: int, graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    """Its last axis is the batch: a bias along it would make the answer to one sample as many as were calibrated on."""
    weights = {"w": RNG.standard_normal((16, 8)), "v": RNG.standard_normal(8), "c": np.ones(1)}
    text = "t (float[b, 16] x) => (float[b] y) { a = MatMul(x, w) h = Relu(a) k = MatMul(h, v) y = Add(k, c) }"
    model = graph(text, {name: array.astype("f4") for name, array in weights.items()})
    x = {"x": RNG.standard_normal((samples, 16)).astype("f4")}
    done = passed(drafted(model, x), *INT4, "correct_biases")
    assert [note for note in done.notes if "has no bias to correct" in note]
    one = open_session(write_graph(done.model, done.encodings)).run(None, {"x": x["x"][:1]})[0]
    assert one.shape == (1,)


def test_it_says_that_it_needs_samples(graph, drafted, passed) -> None:  # type: ignore[no-untyped-def]
    draft = dataclasses.replace(passed(drafted(graph(CHAIN, WEIGHTS), SHIFTED), *INT4), samples=None)
    with pytest.raises(EdgemlError, match="calibrate with samples"):
        passed(draft, "correct_biases")


def test_samples_must_be_one_or_more() -> None:
    text = 'name = "r"\n[[passes]]\nname = "correct_biases"\nsamples = 0'
    with pytest.raises(EdgemlError, match=r"samples is 0"):
        Recipe.from_toml(text, where="r.toml")
