"""What each layer costs alone: the loud one is found, and labels give a loss in nats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_compress.graph.running import Samples
from edgeml_compress.judging.sensitivity import MOST_SQNR_DB, alone, cross_entropy, decibels, sensitivity
from edgeml_compress.source import Source, calibrated, read_source, reference_answers
from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.target import find_target

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
