"""What is added to a layer's answer or multiplied with it becomes part of the layer, where it is a number a channel."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.rewrites.fold_scale_and_shift import fold_scale_and_shift

RNG = np.random.default_rng(0)
X = {"x": RNG.standard_normal((2, 3, 6, 6)).astype(np.float32)}
CHANNELS = RNG.uniform(0.5, 2, (1, 4, 1, 1)).astype(np.float32)


def weights(k: np.ndarray) -> dict[str, np.ndarray]:
    return {"w": RNG.standard_normal((4, 3, 3, 3)).astype(np.float32), "k": k}


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    "k", [CHANNELS, CHANNELS[0], np.float32(1.5), np.float32([[[2.5]]])], ids=lambda k: str(k.shape)
)
def test_a_number_a_channel_is_folded(operator, k, rewritten) -> None:  # type: ignore[no-untyped-def]
    text = f"t (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {{ c = Conv(x, w)\n y = {operator}(c, k) }}"
    assert rewritten(fold_scale_and_shift, text, weights(k), X, changes=1) == ["Conv"]


def test_one_after_the_other_is_folded(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) { c = Conv(x, w)\n m = Mul(k, c)\n a = Add(k, m)\n y = Sub(a, k) }"
    assert rewritten(fold_scale_and_shift, text, weights(CHANNELS), X, changes=3) == ["Conv"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_dense_layer_takes_a_row(transposed, rewritten) -> None:  # type: ignore[no-untyped-def]
    text = f"t (float[b, 5] x) => (float[b, 4] y) {{ g = Gemm<transB = {transposed}>(x, w, k)\n y = Mul(g, k) }}"
    matrix = RNG.standard_normal((4, 5) if transposed else (5, 4)).astype(np.float32)
    feed = {"x": RNG.standard_normal((2, 5)).astype(np.float32)}
    assert rewritten(fold_scale_and_shift, text, {"w": matrix, "k": CHANNELS.ravel()}, feed, changes=1) == ["Gemm"]


def test_a_transposed_convolution_has_its_channels_elsewhere(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, 3, 6, 6] x) => (float[b, 4, 8, 8] y) { c = ConvTranspose(x, w)\n y = Mul(c, k) }"
    kernel = RNG.standard_normal((3, 4, 3, 3)).astype(np.float32)
    assert rewritten(fold_scale_and_shift, text, {"w": kernel, "k": CHANNELS}, X, changes=1) == ["ConvTranspose"]


STAYS = {
    "it varies along the width": ("y = Add(c, k)", np.ones((1, 1, 1, 4), np.float32)),
    "it adds an axis": ("y = Add(c, k)", np.ones((1, 1, 1, 1, 1), np.float32)),
    "it is divided by the answer": ("y = Div(k, c)", CHANNELS),
    "it is taken from": ("y = Sub(k, c)", CHANNELS),
    "it is divided by 0": ("y = Div(c, k)", np.zeros((1, 4, 1, 1), np.float32)),
    "it has others that read it": ("r = Relu(c)\n m = Mul(c, k)\n y = Add(m, r)", CHANNELS),
}


@pytest.mark.parametrize("why", STAYS)
def test_what_is_none_stays(why, graph) -> None:  # type: ignore[no-untyped-def]
    body, k = STAYS[why]
    rank = ", ".join("abcde"[: max(4, k.ndim)])
    model = graph(f"t (float[b, 3, 6, 6] x) => (float[{rank}] y) {{ c = Conv(x, w)\n {body} }}", weights(k))
    assert fold_scale_and_shift(model) == 0


def test_a_factor_on_a_shared_weight_stays_for_the_weight_would_be_stored_twice(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) {
        c = Conv(x, w)
        m = Mul(c, k)
        d = Conv(x, w)
        y = Add(m, d)
    }"""
    assert "Mul" in rewritten(fold_scale_and_shift, text, weights(CHANNELS), X, changes=0)
