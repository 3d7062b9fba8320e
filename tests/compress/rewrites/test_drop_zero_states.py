"""A recurrent layer's initial state of zeros goes, another one stays, and the answers are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeml_compress.rewrites.drop_zero_states import drop_zero_states

RNG = np.random.default_rng(0)
WEIGHTS = {
    "w": RNG.standard_normal((1, 12, 3)).astype(np.float32),
    "r": RNG.standard_normal((1, 12, 4)).astype(np.float32),
    "nought": np.zeros((1, 1, 1), np.float32),
    "some": np.full((1, 1, 1), 0.5, np.float32),
    "size": np.array([1, 2, 4]),
    "one": np.array([0]),
    "two": np.array([1]),
}
HEAD = "g (float[5, 2, 3] x) => (float[5, 1, 2, 4] y) {{ {} y, last = GRU <hidden_size = 4> (x, w, r, , , state) }}"


@pytest.mark.parametrize(
    ("body", "dropped"),
    [
        ("state = Expand (nought, size)", 1),
        ("state = ConstantOfShape (size)", 1),
        ("state = ConstantOfShape <value = float[1] {1.0}> (size)", 0),
        ("wide = Expand (nought, size) state = Slice (wide, one, two, one)", 1),
        ("state = Expand (some, size)", 0),
        ("far = Expand (nought, size) state = Exp (far)", 0),
    ],
)
def test_zeros_go_and_the_answers_stay(graph: Any, run: Any, body: str, dropped: int) -> None:
    model = graph(HEAD.format(body), WEIGHTS)
    x = {"x": RNG.standard_normal((5, 2, 3)).astype(np.float32)}
    (before,) = run(model, x)

    assert drop_zero_states(model) == dropped
    (layer,) = [node for node in model.graph if node.op_type == "GRU"]
    assert (layer.inputs[5] is None) == (dropped == 1)
    np.testing.assert_array_equal(run(model, x)[0], before)


def test_both_states_of_an_lstm_go(graph: Any) -> None:
    text = (
        "g (float[5, 2, 3] x) => (float[5, 1, 2, 3] y) { h = ConstantOfShape (size) "
        "y, last, cell = LSTM <hidden_size = 3> (x, w, r, , , h, h) }"
    )
    weights = {**WEIGHTS, "r": np.ones((1, 12, 3), np.float32), "size": np.array([1, 2, 3])}
    assert drop_zero_states(graph(text, weights)) == 2
