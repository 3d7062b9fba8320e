"""SmoothQuant behind a normalization with a few channels that stand out, as in trained transformers."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(4)
LOUD = np.where(np.arange(32) % 8 == 0, 60.0, 1.0)  # Xiao et al.: outliers of 10 to 100 times, always the same channels
PRODUCTS = {
    "wq": (RNG.standard_normal((32, 16)) / np.sqrt(LOUD)[:, None]).astype(np.float32),
    "wk": (RNG.standard_normal((32, 16)) / np.sqrt(LOUD)[:, None]).astype(np.float32),
}
CASES = {
    "a layer normalization": (
        "n = LayerNormalization(x, scale, shift)",
        {"scale": LOUD.astype(np.float32), "shift": RNG.standard_normal(32).astype(np.float32)},
    ),
    "one written out": (
        "u = Mul(x, scale) n = Add(u, shift)",
        {"scale": LOUD.astype(np.float32), "shift": RNG.standard_normal(32).astype(np.float32)},
    ),
    "a factor alone": ("n = Mul(x, scale)", {"scale": LOUD.astype(np.float32)}),
}
SAMPLES, FRESH = ({"x": RNG.standard_normal((24, 5, 32)).astype(np.float32)} for _ in range(2))


@pytest.fixture
def case(graph, drafted):  # type: ignore[no-untyped-def]
    def find(name: str, rest: str = "q = MatMul(n, wq) k = MatMul(n, wk) y = Mul(q, k)"):  # type: ignore[no-untyped-def]
        body, weights = CASES[name]
        text = f"t (float[b, 5, 32] x) => (float[b, 5, 16] y) {{ {body} {rest} }}"
        return drafted(graph(text, {**weights, **PRODUCTS}), SAMPLES)

    return find


@pytest.mark.parametrize("name", CASES)
def test_int8_loses_a_third_of_what_it_lost(name, case, passed, error_of) -> None:  # type: ignore[no-untyped-def]
    draft, int8 = case(name), ("quantize_weights", ("static_activations", {"nodes": ("q", "k")}))
    before, after = passed(draft, *int8), passed(draft, "smooth_activations", *int8)
    assert error_of(after, draft.model, FRESH) < error_of(before, draft.model, FRESH) / 3


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_the_float_network_answers_as_before(name, alpha, case, passed, run) -> None:  # type: ignore[no-untyped-def]
    draft = case(name)
    done = passed(draft, ("smooth_activations", {"alpha": alpha}))
    before, after = run(draft.model, FRESH)[0], run(done.model, FRESH)[0]
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_at_alpha_one_every_channel_reaches_one(case, passed) -> None:  # type: ignore[no-untyped-def]
    done = passed(case("a layer normalization"), ("smooth_activations", {"alpha": 1.0}))
    seen = done.calibration.tensors["n"]
    assert max(abs(seen.low), abs(seen.high)) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "rest", ["q = MatMul(n, wq) s = ReduceSum(n) y = Add(q, s)", "q = MatMul(n, wq) k = MatMul(x, wq) y = Add(q, k)"]
)
def test_what_others_read_too_is_left_alone(rest, case, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    draft = case("a layer normalization", rest)
    assert same_weights(draft, passed(draft, "smooth_activations"))


def test_it_is_the_same_bit_for_bit(case, passed, same_weights) -> None:  # type: ignore[no-untyped-def]
    first, again = (passed(case("a layer normalization"), "smooth_activations") for _ in range(2))
    assert first.model is not again.model and same_weights(first, again)
