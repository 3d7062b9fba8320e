"""The eight networks of `tests.foreign`: prepared they answer the same, and weights alone as integers keep their answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_bench import answers
from edgeml_compress.graph.layers import untouched, weights
from edgeml_compress.judging.fidelity import fidelity
from edgeml_compress.passes import quantize_weights
from edgeml_compress.recipe import Recipe, Step, apply
from edgeml_compress.source import REFERENCE, read_source
from edgeml_targets.exporters import find_exporter
from edgeml_targets.target import find_target
from tests.foreign import MODELS, draw, model_file

WEIGHT_ONLY = Recipe("int8-weight-only", (Step("quantize_weights", quantize_weights.Params(bits=8, least_values=256)),))
ACROSS_A_BOUNDARY = 0.94  # one scale a channel is too coarse for the recogniser; in blocks it holds
BOUNDS = {name: ACROSS_A_BOUNDARY if name == "pp-ocrv4-rec" else 0.99 for name in MODELS}

SLOW = ("pp-ocrv4-det", "pp-ocrv4-rec")  # the third of their family is quick
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in MODELS]


@pytest.mark.parametrize("name", ALL)
def test_prepared_it_answers_as_the_file_that_was_shipped(name: str) -> None:
    source = read_source(model_file(name), draw(name, 4, seed=1))
    assert source.changes, "preparing was undone"
    assert source.moved > 1 - 1e-5
    assert source.model.graph.opset_imports[""] >= 14


@pytest.mark.parametrize("name", ALL)
def test_weights_alone_as_integers_keep_the_answers_and_are_three_times_smaller(name: str, tmp_path: Path) -> None:
    file = model_file(name)
    draft = apply(WEIGHT_ONLY, read_source(file, draw(name, 2, seed=1)).draft(find_target("x86_64-onnxruntime").scheme))
    artifact = tmp_path / "made.onnx"
    find_exporter(".onnx").export(draft.model, draft.encodings, artifact)
    fresh = draw(name, 8, seed=2)
    close = fidelity(answers(file, REFERENCE, fresh), answers(artifact, REFERENCE, fresh))
    assert close.cosine_min is not None and close.cosine_min >= BOUNDS[name]
    assert file.stat().st_size >= 3 * artifact.stat().st_size


@pytest.mark.parametrize("name", ["silero-vad", "silero-vad-ifless"])
def test_the_branch_for_8_khz_keeps_its_answers_too(name: str, tmp_path: Path) -> None:
    from tests.foreign.sound import heard

    file = model_file(name)
    draft = apply(WEIGHT_ONLY, read_source(file, draw(name, 2, seed=1)).draft(find_target("x86_64-onnxruntime").scheme))
    artifact = tmp_path / "made.onnx"
    find_exporter(".onnx").export(draft.model, draft.encodings, artifact)
    fresh = heard(file, 8, np.random.default_rng(3), rate_hz=8_000)
    close = fidelity(answers(file, REFERENCE, fresh), answers(artifact, REFERENCE, fresh))
    assert close.cosine_min is not None and close.cosine_min >= 0.99


def test_branches_share_their_weights_and_are_listed(tmp_path: Path) -> None:
    source = read_source(model_file("silero-vad-op15"), draw("silero-vad-op15", 2, seed=1))
    found = weights(source.model)
    assert (
        sum("LSTM" in w.operators and w.nested for w in found.values()) == 2
    )  # W and R, of the cells in both branches
    lines = untouched(source.model)
    assert len(lines) == 2 and all("it lies in a branch of " in line for line in lines)


def test_hard_swish_is_told_in_a_network_that_writes_it_out() -> None:
    source = read_source(model_file("pp-ocrv4-cls"), draw("pp-ocrv4-cls", 2, seed=1))
    kinds = [node.op_type for node in ir.traversal.RecursiveGraphIterator(source.model.graph)]
    assert kinds.count("HardSwish") == 18 and "BatchNormalization" not in kinds and "Clip" not in kinds
