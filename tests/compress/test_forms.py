"""The form of a layer is what its tensors' encodings make of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress.forms import forms
from edgeml_targets.contract.encodings import Encoding, Encodings, affine, symmetric

WEIGHT = symmetric([1.0] * 3, axis=0)
BLOCKS = Encoding(scale=(0.1, 0.2, 0.3), zero_point=(0, 0, 0), block=3)
X = affine(-1.0, 1.0, signed=True)
WIDE = Encoding(scale=(0.1,), zero_point=(0,), bits=16)


@pytest.mark.parametrize(
    ("encodings", "form"),
    [
        (Encodings(), "float32"),
        (Encodings(tensors={"w": WEIGHT, "x": X}), "int8"),
        (Encodings(tensors={"w": WEIGHT, "x": WIDE}), "int8 with 16-bit activations"),
        (Encodings(tensors={"w": WEIGHT}, dynamic=frozenset({"x"})), "int8 dynamic"),
        (Encodings(tensors={"w": WEIGHT}), "int8 weight-only"),
        (Encodings(tensors={"w": BLOCKS}), "int8 in blocks of 3"),
        (Encodings(tensors={"w": BLOCKS, "x": X}), "int8 in blocks of 3"),  # no kernel takes blocks
        (Encodings(float16=frozenset({"w"})), "float16"),
    ],
)
def test_a_layers_form(graph: Callable[..., ir.Model], encodings: Encodings, form: str) -> None:
    model = graph(
        "t (float[b, 3, 4, 4] x) => (float[b, n, h, k] y) { y = Conv(x, w) }", {"w": np.ones((3, 3, 1, 1), "f4")}
    )
    assert [(layer.node, layer.operator, layer.form) for layer in forms(model, encodings)] == [("y", "Conv", form)]


def test_a_layer_with_two_weights_tells_both_forms(graph: Callable[..., ir.Model]) -> None:
    model = graph(
        "t (float[s, b, 2] x) => (float[s, d, b, n] y) { y = RNN <hidden_size = 2> (x, w, r) }",
        {"w": np.ones((1, 2, 2), "f4"), "r": np.ones((1, 2, 2), "f4")},
    )
    found = forms(model, Encodings(tensors={"w": symmetric([1.0, 1.0], axis=1)}, float16=frozenset({"r"})))
    assert [layer.form for layer in found] == ["int8 weight-only and float16"]
