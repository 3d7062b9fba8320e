"""What each layer costs alone: the loud one is found, and labels give a loss in nats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_compress.candidates import static_int8
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.running import Samples, open_session, run_each
from edgeml_compress.judging.fidelity import relative_error
from edgeml_compress.judging.sensitivity import MOST_SQNR_DB, alone, cross_entropy, decibels, sensitivity
from edgeml_compress.recipe import apply
from edgeml_compress.source import Source, calibrated, read_source, reference_answers
from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.exporters.onnx import write_graph
from edgeml_targets.target import Scheme, find_target

SCHEME = find_target("raspberrypi4-litert").scheme  # every layer in integers, however small
NODES = ["conv1", "conv2", "fc"]


def images(count: int, seed: int) -> Samples:
    return {"x": np.random.default_rng(seed).standard_normal((count, 3, 16, 16)).astype("f4")}


def prepared(model: Path, folder: Path) -> Source:
    return calibrated(read_source(model, images(4, 0)), images(32, 1), folder / "calibration")


def test_every_layer_is_there_the_quietest_first(tiny_cnn: Path, tmp_path: Path) -> None:
    source, samples = prepared(tiny_cnn, tmp_path), images(24, 2)
    found = sensitivity(source, SCHEME, samples, reference_answers(source, samples))
    assert sorted(layer.node for layer in found) == NODES
    assert [layer.values for layer in sorted(found, key=lambda layer: layer.node)] == [216, 1152, 160]
    assert [layer.sqnr_db for layer in found] == sorted((layer.sqnr_db for layer in found), reverse=True)
    assert all(
        20 < layer.sqnr_db < MOST_SQNR_DB and layer.loss == pytest.approx(10 ** (-layer.sqnr_db / 20))
        for layer in found
    )


def plainly(source: Source, samples: Samples) -> dict[str, float]:
    """Return the relative error of each layer alone in integers, the whole network written and loaded for each."""
    full = apply(static_int8("minmax"), source.draft(EVERYWHERE)).encodings
    reference = reference_answers(source, samples)
    found = {}
    for node in [n for graph in graphs(source.model) for n in graph if n.op_type in ("Conv", "Gemm", "MatMul")]:
        session = open_session(write_graph(source.model, alone(node, full)))
        found[str(node.name)] = relative_error(reference, run_each(session, source.model, samples))
    return found


EVERYWHERE = Scheme(operators=("Conv", "Relu", "Gemm", "MatMul", "Add", "GlobalAveragePool", "Flatten"))
KNOTTED = """t (float[b, 8, 6, 6] x, bool f) => (float[b, 8, 6, 6] early, float[b, 8] y, float[b, 8] y, float[8] fixed) {
    [c1] a = Conv <pads = [1, 1, 1, 1]> (x, w, b1)
    r = Relu(a)
    [c2] early = Conv <pads = [1, 1, 1, 1]> (r, v)
    s = Add(early, r)
    [c3] d = Conv <pads = [1, 1, 1, 1]> (s, w, b2)
    t = Relu(d)
    n = Neg(t)
    [c4] u = Conv <pads = [1, 1, 1, 1]> (n, v)
    e = Add(u, r)
    p = GlobalAveragePool(e)
    q = Flatten(p)
    [m1] k = MatMul(q, m)
    [choose] o = If(f) <then_branch = g () => (float[b, 8] i) { [m2] i = MatMul(q, m3) },
        else_branch = h () => (float[b, 8] j) { j = Neg(q) }>
    z = Add(k, o)
    [m4] y = Gemm <alpha = 0.5, beta = 2.0> (z, m, b1)
}"""
"""Weights that distant layers share, results read far behind, an output in the middle, twice and constant, a layer in a branch."""


@pytest.mark.parametrize(("least", "held_bytes"), [(1, 1 << 20), (3, 1 << 20), (3, 0), (24, 1 << 20)])
def test_stages_cost_what_the_whole_costs(least: int, held_bytes: int, graph, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("edgeml_compress.graph.stages.LEAST_NODES", least)
    monkeypatch.setattr("edgeml_compress.judging.sensitivity.HELD_BYTES", held_bytes)
    rng = np.random.default_rng(0)
    shapes = {"w": (8, 8, 3, 3), "v": (8, 8, 3, 3), "m": (8, 8), "m3": (8, 8), "b1": (8,), "b2": (8,), "fixed": (8,)}
    weights = {name: 0.2 * rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()}
    (tmp_path / "t.onnx").write_bytes(ir.to_proto(graph(KNOTTED, weights)).SerializeToString())

    def drawn(count: int) -> Samples:
        return {"x": rng.standard_normal((count, 8, 6, 6)).astype("f4"), "f": np.arange(count) % 2 == 0}

    source = calibrated(read_source(tmp_path / "t.onnx", drawn(4)), drawn(16), tmp_path / "calibration")
    samples = drawn(8)
    expected = plainly(source, samples)
    found = sensitivity(source, EVERYWHERE, samples, reference_answers(source, samples))
    assert {layer.node for layer in found} == {"c1", "c2", "c3", "c4", "m1", "m4"}  # a branch computes in float
    for layer in found:
        assert layer.sqnr_db == pytest.approx(decibels(expected[layer.node]), abs=0.05)


def test_a_layer_with_an_outlier_is_the_loudest(tiny_cnn: Path, tmp_path: Path) -> None:
    """Weights of a channel that is always 0 give nothing, and take all others their precision."""
    model = onnx.load(tiny_cnn)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name == "conv1.bias":
            values[0] = -1000.0
        if tensor.name == "conv2.weight":
            values[:, 0] = 100 * np.abs(values).max()
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "loud.onnx")
    source, samples = prepared(tmp_path / "loud.onnx", tmp_path), images(24, 2)
    found = sensitivity(source, SCHEME, samples, reference_answers(source, samples))
    assert found[-1].node == "conv2"


def test_labels_give_the_rise_of_the_cross_entropy(tiny_cnn: Path, tmp_path: Path) -> None:
    source, samples = prepared(tiny_cnn, tmp_path), images(24, 2)
    reference = reference_answers(source, samples)
    labels = reference["logits"].reshape(24, 10).argmax(axis=1)
    found = sensitivity(source, SCHEME, samples, reference, labels=labels)
    assert all(abs(layer.loss) < 0.05 for layer in found)
    assert any(layer.loss != 0 for layer in found)


def test_an_activation_that_is_fused_belongs_to_its_layer(tiny_cnn: Path, tmp_path: Path) -> None:
    source = prepared(tiny_cnn, tmp_path)
    conv = next(node for node in source.model.graph if node.name == "conv1")
    one = Encoding(scale=(1.0,), zero_point=(0,))
    full = Encodings(tensors=dict.fromkeys(["x", "conv1.weight", "relu1", "relu2", "logits"], one))
    assert set(alone(conv, full).tensors) == {"x", "conv1.weight", "relu1"}


@given(st.floats(0, 1e6))
def test_decibels_fall_as_the_error_grows(error: float) -> None:
    assert -MOST_SQNR_DB <= decibels(error) <= MOST_SQNR_DB
    assert decibels(2 * error + 1e-9) < decibels(error) or error < 1e-7
    assert decibels(float("nan")) == -MOST_SQNR_DB


def test_probabilities_and_logits_have_one_cross_entropy() -> None:
    logits = np.random.default_rng(0).standard_normal((50, 7)).astype("f4")
    labels = np.arange(50) % 7
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert cross_entropy(logits, labels) == pytest.approx(cross_entropy(shares, labels), abs=1e-5)
    assert cross_entropy(np.full((50, 7), 1 / 7), labels) == pytest.approx(np.log(7))
