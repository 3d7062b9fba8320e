"""Every constant is kept once, in the main graph."""

from __future__ import annotations

import numpy as np

from edgeml_compress.rewrites.share_constants import share_constants

ROW = np.float32([1, 2, 3])


def test_equal_constants_become_one_and_others_stay(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[3] x) => (float[3] y) { a = Add(x, a1)\n b = Add(a, a2)\n c = Add(b, a3)\n y = Add(c, a4) }"
    model = graph(text, {"a1": ROW, "a2": ROW.copy(), "a3": ROW + 1, "a4": ROW[:1]})
    assert share_constants(model) == 1
    assert sorted(model.graph.initializers) == ["a1", "a3", "a4"]


def test_equal_bytes_of_another_type_or_shape_are_another_constant(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[1, 3] x) => (float[1, 3] y, int32[3] z) { y = Add(x, a)\n b = Add(x, c)\n z = Identity(i) }"
    model = graph(text, {"a": np.zeros(3, np.float32), "c": np.zeros((1, 3), np.float32), "i": np.zeros(3, np.int32)})
    assert share_constants(model) == 0


def test_an_output_that_equals_another_constant_keeps_its_own(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[3] x) => (float[3] y, float[3] a2) { y = Add(x, a1) }"
    model = graph(text, {"a1": ROW, "a2": ROW.copy()})
    assert share_constants(model) == 0 and set(model.graph.initializers) == {"a1", "a2"}


def test_strings_are_compared_as_strings(graph) -> None:  # type: ignore[no-untyped-def]
    text = (
        "t (float[1] x) => (float[1] y, string[1] u, string[1] v) { y = Relu(x)\n u = Identity(a)\n v = Identity(b) }"
    )
    model = graph(text, {"a": np.array([b"one"], object), "b": np.array([b"one"], object)})
    assert share_constants(model) == 1
