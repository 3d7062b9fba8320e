"""One list of checks over every pass, the next one too; and what each does to a small network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeml_compress import Calibration, calibrate, prepare
from edgeml_compress.graph.layers import weights
from edgeml_compress.passes import Draft, find_pass, pass_names, quantize_weights, static_activations
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.models import read_model
from edgeml_targets.target import Scheme

OPERATORS = ("Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm")


@pytest.fixture
def draft(tiny_cnn: Path, images) -> Draft:  # type: ignore[no-untyped-def]
    model = prepare(read_model(tiny_cnn), where="tiny").model
    samples = {"x": images(16)}
    return Draft(model, Encodings(), calibrate(model, samples), Scheme(operators=OPERATORS), samples=samples)


@pytest.mark.parametrize("name", pass_names())
def test_a_pass_changes_nothing_that_it_is_given(name: str, draft: Draft) -> None:
    before, bytes_before = draft.encodings.to_json(), {n: w.values.tobytes() for n, w in weights(draft.model).items()}
    found = find_pass(name)
    found.apply(draft, found.params())
    assert draft.encodings.to_json() == before
    assert {n: w.values.tobytes() for n, w in weights(draft.model).items()} == bytes_before


@pytest.mark.parametrize("name", pass_names())
def test_a_pass_gives_the_same_twice(name: str, draft: Draft) -> None:
    found = find_pass(name)
    assert found.apply(draft, found.params()).encodings == found.apply(draft, found.params()).encodings


@pytest.mark.parametrize("bits", [8, 7, 4])
def test_no_weight_moves_by_more_than_half_a_step(bits: int, draft: Draft) -> None:
    done = quantize_weights.quantize_weights(draft, quantize_weights.Params(bits=bits))
    for name, weight in weights(draft.model).items():
        encoding = done.encodings.tensors[name]
        moved = np.abs(encoding.dequantize(encoding.quantize(weight.values)) - weight.values)
        others = tuple(i for i in range(weight.values.ndim) if i != weight.axis)
        step = np.abs(weight.values).max(axis=others, keepdims=True) / (2 ** (bits - 1) - 1)
        assert (moved <= step / 2 * (1 + 1e-6)).all()


def test_every_output_channel_has_its_own_scale(draft: Draft) -> None:
    done = quantize_weights.quantize_weights(draft, quantize_weights.Params())
    found = {n: (e.axis, len(e.scale)) for n, e in done.encodings.tensors.items()}
    assert found == {"conv1.weight": (0, 8), "conv2.weight": (0, 16), "fc.weight": (0, 10)}


def test_a_scheme_of_one_scale_a_tensor_is_kept_to(draft: Draft) -> None:
    scheme = Scheme(operators=OPERATORS, weights_per_channel=False, weight_bits=7)
    done = quantize_weights.quantize_weights(
        Draft(draft.model, Encodings(), draft.calibration, scheme), quantize_weights.Params()
    )
    assert {(e.axis, len(e.scale), e.bits) for e in done.encodings.tensors.values()} == {(None, 1, 7)}


def test_small_weights_stay_in_float_where_that_is_asked(draft: Draft) -> None:
    done = quantize_weights.quantize_weights(draft, quantize_weights.Params(least_values=200))
    assert set(done.encodings.tensors) == {"conv1.weight", "conv2.weight"}


def test_static_activations_hold_what_was_seen(draft: Draft) -> None:
    weighed = quantize_weights.quantize_weights(draft, quantize_weights.Params())
    done = static_activations.static_activations(weighed, static_activations.Params())
    found = {n: e for n, e in done.encodings.tensors.items() if n in draft.calibration.tensors}
    assert set(found) == {"x", "relu1", "relu2", "pool", "flat", "logits"}  # conv1 and conv2 are fused away
    assert found["pool"] == found["flat"]  # only moved
    assert found["relu1"].zero_point == (0,) and not found["relu1"].signed
    for name, encoding in found.items():
        seen, step = draft.calibration.tensors[name], encoding.scale[0]
        ends = encoding.dequantize(np.array([encoding.lowest, encoding.highest]))
        assert ends[0] <= seen.low + step and ends[1] >= seen.high - step


def test_static_activations_of_some_layers_alone(draft: Draft) -> None:
    weighed = quantize_weights.quantize_weights(draft, quantize_weights.Params())
    done = static_activations.static_activations(weighed, static_activations.Params(nodes=("conv2",)))
    assert {n for n in done.encodings.tensors if n in draft.calibration.tensors} == {"relu1", "relu2", "pool"}


def test_activations_of_16_bits_lose_a_tenth_of_what_8_lose(graph, drafted, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    weights = {"w": np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)}
    model = graph("t (float[b, 16] x) => (float[b, 8] y) { m = MatMul(x, w) y = Relu(m) }", weights)
    samples = {"x": np.random.default_rng(1).standard_cauchy((64, 16)).clip(-50, 50).astype(np.float32)}
    draft = drafted(model, samples, activation_bits=(8, 16))
    errors = [
        error_of(passed(draft, "quantize_weights", ("static_activations", {"bits": b})), model, samples)
        for b in (8, 16)
    ]
    weight_only = error_of(passed(draft, "quantize_weights"), model, samples)
    assert errors[1] - weight_only < (errors[0] - weight_only) / 10


def test_a_width_that_the_scheme_does_not_have_is_refused(draft: Draft) -> None:
    with pytest.raises(EdgemlError, match="no activations of 16 bits; it has 8"):
        static_activations.static_activations(draft, static_activations.Params(bits=16))


def test_a_symmetric_scheme_has_zero_points_of_zero(draft: Draft) -> None:
    scheme = Scheme(operators=OPERATORS, activations_signed=True, activations_symmetric=True)
    weighed = quantize_weights.quantize_weights(
        Draft(draft.model, Encodings(), draft.calibration, scheme), quantize_weights.Params()
    )
    done = static_activations.static_activations(weighed, static_activations.Params())
    assert {e.zero_point for n, e in done.encodings.tensors.items() if n in draft.calibration.tensors} == {(0,)}


def test_dynamic_marks_the_inputs_of_encoded_layers(draft: Draft) -> None:
    weighed = quantize_weights.quantize_weights(draft, quantize_weights.Params())
    dynamic = find_pass("dynamic_activations")
    assert dynamic.apply(weighed, dynamic.params()).encodings.dynamic == {"flat"}
    assert dynamic.apply(weighed, dynamic.params(operators=("Conv",))).encodings.dynamic == {"x", "relu1"}
    assert dynamic.apply(draft, dynamic.params()).encodings.dynamic == frozenset()


def test_half_precision_leaves_what_it_cannot_hold(graph) -> None:  # type: ignore[no-untyped-def]
    large = np.full((8, 8), 7e4, np.float32)
    model = prepare(graph("t (float[b, 8] x) => (float[b, 8] y) { y = MatMul(x, w) }", {"w": large}), where="t").model
    half = find_pass("halve_weights")
    done = half.apply(Draft(model, Encodings(), calibrate(model, {"x": large}), Scheme(operators=())), half.params())
    assert done.encodings.float16 == frozenset() and done.kept == ("w: holds values above 65,504",)


def test_blocks_lie_within_a_channel_and_are_taken_where_they_come_closer(graph) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    shapes = {"kernel": (16, 8, 3, 3), "wide": (8, 16, 1, 1), "window": (8, 1, 5, 5), "loud": (64, 64)}
    held = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    held["loud"][3] *= 1000  # what enters there is next to nothing
    text = """t (float[b, 8, 9, 9] x, float[c, 64] v) => (float[b, 8, 3, 3] y, float[c, 64] z) {
        a = Conv(x, kernel)
        d = Conv(a, wide)
        y = Conv<group = 8>(d, window)
        z = MatMul(v, loud)
    }"""
    model = prepare(graph(text, held), where="t").model
    draft = Draft(model, Encodings(), Calibration(), Scheme(operators=()))
    found = quantize_weights.quantize_weights(draft, quantize_weights.Params(block=24)).encodings.tensors
    assert {name: e.block for name, e in found.items()} == {"kernel": 24, "wide": None, "window": None, "loud": 16}


def test_only_the_named_weights_are_written_so_and_unknown_names_are_told(draft: Draft) -> None:
    done = quantize_weights.quantize_weights(draft, quantize_weights.Params(names=("fc.weight",), block=32))
    assert set(done.encodings.tensors) == {"fc.weight"}
    half = find_pass("halve_weights")
    done = half.apply(done, half.params(names=("fc.weight",)))
    assert done.encodings.float16 == {"fc.weight"} and done.encodings.tensors == {}
    done = quantize_weights.quantize_weights(done, quantize_weights.Params())
    assert done.encodings.float16 == frozenset() and "fc.weight" in done.encodings.tensors
    for name in ("quantize_weights", "halve_weights"):
        with pytest.raises(EdgemlError, match=r"^gone: the model has no such weight"):
            find_pass(name).apply(draft, find_pass(name).params(names=("gone",)))
