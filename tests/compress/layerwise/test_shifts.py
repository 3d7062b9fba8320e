"""What rounding shifts channels by: one graph in one run tells the same as a walk, and both what the layers are off by."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress.calibration import Means
from edgeml_compress.graph.layers import name_of
from edgeml_compress.layerwise import shifts, walk
from edgeml_compress.layerwise.shifts import channel_shifts
from edgeml_compress.layerwise.simulation import simulated
from tests.compress.layerwise.test_walk import BRANCHING, SAMPLES, WEIGHTS, given_by

RNG = np.random.default_rng(3)
ALL = lambda _: True  # noqa: E731
SHAPES = {
    "c": "t (float[b, 8, 6, 6] x) => (float[b, 4] y) { a = Conv(x, w1, b1) r = Relu(a) c = Conv(r, w2) "
    "p = GlobalAveragePool(c) q = Flatten(p) y = Gemm(q, wf) }",
    "t": "t (float[b, 8, 6, 6] x) => (float[b, 8, u, v] y) { a = ConvTranspose <strides = [2, 2]> (x, w1) r = Relu(a) y = Conv(r, w2) }",
    "m": "t (float[b, 8, 6, 6] x) => (float[b, 8, 6, 4] y) { t = Transpose <perm = [0, 2, 3, 1]> (x) u = MatMul(t, wm) "
    "v = Transpose <perm = [0, 1, 3, 2]> (u) z = Tanh(u) y = MatMul(z, wf) }",
}


@pytest.fixture
def draft_of(graph, drafted, passed):  # type: ignore[no-untyped-def]
    def make(text: str, samples=None):  # type: ignore[no-untyped-def]
        found = drafted(graph(text, WEIGHTS), samples or {"x": SAMPLES["x"]})
        return passed(found, ("quantize_weights", {"bits": 4}), "static_activations")

    return make


@pytest.mark.parametrize("opset", [14, 18, 21])
@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_one_run_tells_the_same_as_a_walk(draft_of, text: str, opset: int) -> None:  # type: ignore[no-untyped-def]
    draft = draft_of(text)
    draft.model.opset_imports[""] = opset
    together = channel_shifts(draft, 64, ALL)
    walked = shifts._by_walking(draft, 64, ALL)
    assert together and list(together) == list(walked)
    for name, shift in walked.items():
        np.testing.assert_allclose(together[name], shift, rtol=1e-3, atol=1e-5)


def test_the_first_layer_is_off_by_its_shift_and_layers_that_are_left_out_correct_nothing(draft_of) -> None:  # type: ignore[no-untyped-def]
    draft = draft_of(BRANCHING, SAMPLES)
    first, second = "a", "c"
    names = [first, second]
    float_, integer = (given_by(m, names) for m in (draft.plain, simulated(draft.model, draft.encodings)))
    off = {name: (float_[name] - integer[name]).mean(axis=(0, 2, 3)) for name in names}
    found = channel_shifts(draft, 64, ALL)
    np.testing.assert_allclose(found[first], off[first], rtol=1e-3, atol=1e-5)
    alone = channel_shifts(draft, 64, lambda node: name_of(node.outputs[0]) == second)
    assert list(alone) == [second]
    np.testing.assert_allclose(alone[second], off[second], rtol=1e-3, atol=1e-5)
    assert not np.allclose(found[second], off[second], rtol=1e-2)


def test_all_that_fit_are_fed_at_once(draft_of, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    draft = draft_of(SHAPES["c"], {"x": RNG.standard_normal((80, 8, 6, 6)).astype("f4")})
    monkeypatch.setattr(shifts, "_by_walking", None)
    assert channel_shifts(draft, 64, ALL)


def test_samples_that_cannot_be_fed_at_once_are_walked_with(graph, drafted, passed, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    text = SHAPES["c"].replace("float[b, 8, 6, 6] x", "float[1, 8, 6, 6] x").replace("float[b, 4]", "float[1, 4]")
    found = drafted(graph(text, WEIGHTS), {"x": SAMPLES["x"]})
    draft, called = passed(found, ("quantize_weights", {"bits": 4}), "static_activations"), []
    monkeypatch.setattr(shifts, "walk", lambda *args, **given: (called.append(1), walk.walk(*args, **given)))
    assert channel_shifts(draft, 64, ALL) and called


def test_a_layer_that_no_input_reaches_is_left_alone(draft_of) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 8] x) => (float[b, 4] y) {
        k = Identity(wg) g = MatMul(k, wf) a = MatMul(x, wg) y = MatMul(a, wf)
    }"""
    draft = draft_of(text, {"x": RNG.standard_normal((9, 8)).astype("f4")})
    assert list(channel_shifts(draft, 64, ALL)) == ["a", "y"]


def test_the_float_networks_means_are_asked_once(draft_of, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    draft, asked = draft_of(SHAPES["c"]), []
    means = walk.channel_means
    monkeypatch.setattr(walk, "channel_means", lambda *args: (asked.append(1), means(*args))[1])
    for _ in range(3):
        channel_shifts(draft, 64, ALL)
    assert len(asked) == 1


def test_saved_means_are_taken_for_the_same_samples_and_layers_alone(draft_of, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    draft, asked, means = draft_of(SHAPES["c"]), [], walk.channel_means
    monkeypatch.setattr(walk, "channel_means", lambda *args: (asked.append(1), means(*args))[1])
    expected, saved = channel_shifts(draft, 64, ALL), walk.asked_means(draft.plain)
    assert saved is not None and asked == [1]
    fewer = {name: saved.channels[name] for name in list(saved.channels)[1:]}
    cut = {name: values[:-1] for name, values in saved.channels.items()}
    others = (Means(3, saved.channels), Means(saved.samples, fewer), Means(saved.samples, cut))
    for held, times in ((saved, 1), *zip(others, (2, 3, 4), strict=True)):
        later = draft_of(SHAPES["c"])
        later = replace(later, calibration=msgspec.structs.replace(later.calibration, means=held))
        found = channel_shifts(later, 64, ALL)
        assert len(asked) == times
        assert all(np.array_equal(found[name], shift) for name, shift in expected.items())


def test_without_layers_nothing_is_asked(graph, drafted) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(graph(SHAPES["c"], WEIGHTS), {"x": SAMPLES["x"]})
    assert isinstance(draft.model, ir.Model) and channel_shifts(draft, 64, ALL) == {}
