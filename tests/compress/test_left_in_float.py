"""Each node computes in integers or has a line with the reason: nothing is skipped in silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import calibrate, prepare
from edgeml_compress.calibration import Calibration
from edgeml_compress.candidates import LEAST_VALUES, Rounding, recipes, static_int8
from edgeml_compress.forms import forms
from edgeml_compress.left_in_float import left_in_float
from edgeml_compress.passes import Draft
from edgeml_compress.recipe import Recipe, apply
from edgeml_compress.source import calibrated, read_source
from edgeml_targets.contract.encodings import Encodings, symmetric
from edgeml_targets.target import Fusion, Scheme, Target, find_target
from tests.foreign import MODELS, draw, model_file

SCHEME = Scheme(operators=("MatMul", "Add"), dynamic_operators=("MatMul",))
STATIC, DYNAMIC, WEIGHT_ONLY, HALF = recipes(static_int8("minmax"))
LARGE = np.random.default_rng(0).standard_normal((20, 20)).astype(np.float32)

TEXT = """t (float[b, 20] x, int64[b] i, double[b, 20] d) => (float[b, 20] y, double[b, 20] e, int64[2] shape) {
    [first] a = MatMul(x, w)
    [curve] c = Erf(a)
    [second] g = MatMul(c, v)
    [sum] y = Add(g, c)
    [wide] e = Exp(d)
    [size] shape = Shape(y)
}"""


@pytest.fixture
def left(graph: Callable[..., ir.Model]) -> Callable[[Recipe], tuple[str, ...]]:
    """Says what a recipe leaves in float of the network above."""
    model = prepare(graph(TEXT, {"w": LARGE, "v": LARGE[:, :4] @ LARGE[:4]}), where="t").model
    rng = np.random.default_rng(1)
    samples = {"x": rng.standard_normal((4, 20), np.float32), "i": np.arange(4), "d": rng.standard_normal((4, 20))}
    calibration = calibrate(model, samples)

    def said(recipe: Recipe) -> tuple[str, ...]:
        draft = apply(recipe, Draft(model, Encodings(), calibration, SCHEME, samples=samples))
        return left_in_float(draft, forms(draft.model, draft.encodings))

    return said


def test_full_int8_lists_what_the_target_has_no_integers_for(left: Callable[[Recipe], tuple[str, ...]]) -> None:
    assert left(STATIC) == (
        "Erf curve: the target computes this operator in float",
        "Exp wide: it computes in DOUBLE, and float32 is what becomes integers",
    )


def test_weights_alone_list_the_layers(left: Callable[[Recipe], tuple[str, ...]]) -> None:
    why = "only its weight is stored in integers, which is what this candidate is"
    assert left(WEIGHT_ONLY) == (f"MatMul first: {why}", f"MatMul second: {why}")
    assert left(DYNAMIC) == ()  # both products find the scale of their input


def test_a_layer_that_a_mixture_leaves_out_is_listed_with_what_stands_around(
    left: Callable[[Recipe], tuple[str, ...]],
) -> None:
    found = left(Recipe("int8-mixed", (STATIC.steps[0], Rounding("minmax").of(["first"]))))
    assert (
        "MatMul second: its activations stay in float, since in integers the answers did not hold or it was slower"
        in found
    )
    assert "Add sum: it stands between nodes that stay in float" in found
    assert not any(line.startswith(("MatMul first", "Shape")) for line in found)


def test_a_weight_too_small_to_gain_is_listed(graph: Callable[..., ir.Model]) -> None:
    model = prepare(
        graph("t (float[b, 5] x) => (float[b, 5] y) { [small] y = MatMul(x, w) }", {"w": LARGE[:5, :5]}), where="t"
    ).model
    draft = apply(WEIGHT_ONLY, Draft(model, Encodings(), calibrate(model, {"x": LARGE[:, :5]}), SCHEME))
    (line,) = left_in_float(draft, forms(draft.model, draft.encodings))
    assert line.startswith("MatMul small: ") and f"fewer than {LEAST_VALUES} values" in line


@pytest.mark.parametrize("target", ["x86_64-onnxruntime", "x86_64-litert", "x86_64-openvino"])
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("pp-ocrv4-det", "pp-ocrv4-rec")])
def test_every_layer_of_shipped_networks_is_in_integers_or_listed_once(name: str, target: str) -> None:
    data = draw(name, 2, seed=3)
    source = calibrated(read_source(model_file(name), data), data, Path("nowhere"))
    chosen: Target = find_target(target)
    for recipe in (STATIC, DYNAMIC, WEIGHT_ONLY):
        draft = apply(recipe, source.draft(chosen.scheme))
        layers = forms(draft.model, draft.encodings)
        lines = left_in_float(draft, layers)
        about = [line.partition(": ")[0] for line in lines]
        assert len(set(about)) == len(about)
        assert all(len(line.split(": ", 1)[1]) > 10 for line in lines)
        for layer in layers:
            kernel = layer.form in ("int8", "int8 dynamic")
            assert (f"{layer.operator} {layer.node}" in about) != kernel, layer


def _seconds_for(layers: int, graph: Callable[..., ir.Model]) -> float:
    """Return the processor time that it takes to say of a chain of so many small layers why each stays in float."""
    body = " ".join(f"[m{i}] a{i + 1} = MatMul(a{i}, w{i})" for i in range(layers))
    weights = {f"w{i}": LARGE[:3, :3] + np.float32(i) for i in range(layers)}
    model = prepare(graph(f"t (float[b, 3] a0) => (float[b, 3] a{layers}) {{ {body} }}", weights), where="t").model
    draft = Draft(model, Encodings(), Calibration(), SCHEME)
    found = forms(model, draft.encodings)
    taken: list[float] = []
    for _ in range(5):  # the least of them: once 400 layers took 0.056 s, and 800 took 0.014
        began = time.process_time()
        assert len(left_in_float(draft, found)) == layers
        taken.append(time.process_time() - began)
    return min(taken)


def test_the_reasons_take_time_in_proportion_to_the_layers(graph: Callable[..., ir.Model]) -> None:
    short, long = (_seconds_for(n, graph) for n in (100, 400))
    assert long < 9 * short  # four times the layers; were all weights walked for each, sixteen times


def test_a_clip_with_other_limits_than_the_kernels_is_listed(graph: Callable[..., ir.Model]) -> None:
    limits = {"low": np.float32(-1), "high": np.float32(1), "w": LARGE}
    text = "t (float[b, 20] x) => (float[b, 20] y) { [p] a = MatMul(x, w) [c] y = Clip(a, low, high) }"
    model = prepare(graph(text, limits), where="t").model
    encodings = Encodings(tensors=dict.fromkeys(("x", "w", "y"), symmetric([1.0])))
    for bounds, said in (((-1, 1), ()), ((0, 6), ("Clip c: it stands between nodes that stay in float",))):
        fusion = Fusion(after=("MatMul",), activation="Clip", limits=bounds)
        scheme = Scheme(operators=("MatMul", "Clip"), fusions=(fusion,))
        draft = Draft(model, encodings, Calibration(), scheme)
        assert left_in_float(draft, forms(model, encodings)) == said
