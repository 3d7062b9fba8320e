"""Equalization: the float network answers as before, and one scale a tensor serves channels that stood far apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeml_targets.contract.errors import EdgemlError

RNG = np.random.default_rng(3)
APART = 10 ** RNG.uniform(-1, 1, 16)  # channels up to a hundred times apart, and back again in the next layer


def between(
    shape: tuple[int, ...], *, scaled_out: np.ndarray | None = None, scaled_in: np.ndarray | None = None
) -> np.ndarray:
    values = RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
    if scaled_out is not None:
        values = values * scaled_out.reshape(-1, *[1] * (len(shape) - 1))
    if scaled_in is not None:
        values = values / scaled_in.reshape(1, -1, *[1] * (len(shape) - 2))
    return values.astype(np.float32)


def depthwise(scale: np.ndarray) -> np.ndarray:
    return (between((16, 1, 3, 3)) * scale.reshape(-1, 1, 1, 1)).astype(np.float32)


OTHER = 10 ** RNG.uniform(-1, 1, 16)
CASES = {
    "two convolutions": (
        "a = Conv(x, w1, b1) r = Relu(a) y = Conv(r, w2)",
        {"w1": between((16, 6, 3, 3), scaled_out=APART), "b1": APART.astype(np.float32), "w2": between((8, 16, 3, 3), scaled_in=APART)},
    ),
    "a depthwise chain": (
        "a = Conv(x, w1, b1) r = Relu(a) d = Conv <group = 16> (r, wd) s = Relu(d) y = Conv(s, w2)",
        {
            "w1": between((16, 6, 1, 1), scaled_out=APART),
            "b1": APART.astype(np.float32),
            "wd": depthwise(OTHER / APART),
            "w2": between((8, 16, 1, 1), scaled_in=OTHER),
        },
    ),
    "pooled and flattened": (
        "a = Conv(x, w1, b1) r = LeakyRelu(a) p = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r) f = Flatten(p) y = Gemm(f, w2)",
        {"w1": between((16, 6, 3, 3), scaled_out=APART), "b1": APART.astype(np.float32), "w2": between((64, 8)) / np.repeat(APART, 4)[:, None].astype(np.float32)},
    ),
}  # fmt: skip
SAMPLES, FRESH = ({"x": RNG.standard_normal((24, 6, 6, 6)).astype(np.float32)} for _ in range(2))


@pytest.fixture
def case(graph, drafted):  # type: ignore[no-untyped-def]
    def find(name: str, **scheme):  # type: ignore[no-untyped-def]
        body, weights = CASES[name]
        ending = "float[b, 8] y" if "Gemm" in body else "float[b, 8, h, k] y"
        return drafted(graph(f"t (float[b, 6, 6, 6] x) => ({ending}) {{ {body} }}", weights), SAMPLES, **scheme)

    return find


@pytest.mark.parametrize("by", ["weights", "activations"])
@pytest.mark.parametrize("name", CASES)
def test_the_float_network_answers_as_before(name, by, case, passed, run) -> None:  # type: ignore[no-untyped-def]
    draft = case(name)
    done = passed(draft, ("equalize_layers", {"by": by}))
    before, after = run(draft.model, FRESH)[0], run(done.model, FRESH)[0]
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("name", CASES)
def test_one_scale_a_tensor_loses_a_quarter_of_what_it_lost(name, case, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = case(name, weights_per_channel=False)
    int8 = ("quantize_weights", "static_activations")
    before, after = passed(draft, *int8), passed(draft, "equalize_layers", *int8)
    assert error_of(after, draft.model, FRESH) < error_of(before, draft.model, FRESH) / 4


@pytest.mark.parametrize("name", CASES)
def test_by_activations_it_pays_where_weights_have_a_scale_a_channel(name, case, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft = case(name)
    int8 = ("quantize_weights", "static_activations")
    before, after = passed(draft, *int8), passed(draft, ("equalize_layers", {"by": "activations"}), *int8)
    assert error_of(after, draft.model, FRESH) < error_of(before, draft.model, FRESH) / 2


def test_ranges_are_of_the_equalized_network(case, passed) -> None:  # type: ignore[no-untyped-def]
    draft = case("two convolutions")
    done = passed(draft, "equalize_layers")
    assert done.calibration.tensors["r"].high < draft.calibration.tensors["r"].high
    assert done.calibration.tensors["x"] == draft.calibration.tensors["x"]
    assert done.calibration.source == draft.calibration.source


def test_it_is_the_same_bit_for_bit(case, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    first, again = (passed(case("a depthwise chain"), "equalize_layers") for _ in range(2))
    assert first.model is not again.model and same_weights(first, again)


def test_a_network_is_equalized_once_for_all_recipes_that_begin_so(case, passed) -> None:  # type: ignore[no-untyped-def]
    draft = case("a depthwise chain")
    first, again = (passed(draft, "equalize_layers", "quantize_weights") for _ in range(2))
    assert first.model is again.model
    assert passed(draft, ("equalize_layers", {"by": "activations"})).model is not first.model


@pytest.mark.parametrize(
    "body",
    [
        "a = Conv(x, w1) r = Clip(a, low, high) y = Conv(r, w2)",  # a bound is the same for every channel
        "a = Conv(x, w1) r = Sigmoid(a) y = Conv(r, w2)",
        "a = Conv(x, w1) r = Relu(a) c = Conv(r, w2) p = ReduceMax <axes = [1]> (r) y = Add(c, p)",  # read twice
        "a = Conv(x, w1) r = Relu(a) b = Conv(r, w2) s = Conv(x, w1) y = Add(b, s)",  # a shared weight
    ],
)
def test_what_would_answer_otherwise_is_left_alone(body, graph, drafted, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    weights = {"w1": between((8, 6, 1, 1)), "w2": between((8, 8, 1, 1)), "low": np.float32(0), "high": np.float32(6)}
    draft = drafted(graph(f"t (float[b, 6, 6, 6] x) => (float[b, 8, 6, 6] y) {{ {body} }}", weights), SAMPLES)
    assert same_weights(draft, passed(draft, "equalize_layers"))


def test_encoded_weights_are_not_touched(case, passed) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EdgemlError, match="let it be the first pass"):
        passed(case("two convolutions"), "quantize_weights", "equalize_layers")


def test_it_says_that_it_needs_samples(case, passed) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EdgemlError, match="calibrate with samples"):
        passed(dataclasses.replace(case("two convolutions"), samples=None), "equalize_layers")
