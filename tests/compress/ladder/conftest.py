"""A network whose layers differ in how much rounding costs them, and what tries recipes out on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeml_compress.ladder.trials import Judge, Trials
from edgeml_compress.source import Source, calibrated, read_source, reference_answers
from edgeml_targets.target import find_target

WIDE = 64
LAYERS = 4
LOUD = 2
"""The layer whose weight has a row that is far off: one scale a channel cannot hold the others beside it."""


def write(path: Path, *, stands_out: float) -> Path:
    """Write a network of matrix products at `path`; what enters the `LOUD` one's first row is so many times less."""
    rng = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for i in range(LAYERS):
        weight = (rng.standard_normal((WIDE, WIDE)) / WIDE**0.5).astype(np.float32)
        if i == LOUD:
            quiet = np.ones(WIDE, np.float32)
            quiet[0], weight[0] = 1 / stands_out, weight[0] * stands_out
            weights.append(numpy_helper.from_array(quiet, "quiet"))
            nodes.append(helper.make_node("Mul", [value, "quiet"], ["hushed"], "hush"))
            value = "hushed"
        weights.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{i}"], [f"p{i}"], f"product{i}"))
        value = f"p{i}"
    nodes.append(helper.make_node("Identity", [value], ["y"]))
    given, made = (helper.make_tensor_value_info(n, 1, ["b", WIDE]) for n in ("x", "y"))
    model = helper.make_model(helper.make_graph(nodes, "g", [given], [made], weights), ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a network with one weight that a scale a channel cannot hold."""
    return write(tmp_path_factory.mktemp("uneven") / "uneven.onnx", stands_out=2000.0)


@pytest.fixture(scope="session")
def even(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a network whose weights are all alike."""
    return write(tmp_path_factory.mktemp("even") / "even.onnx", stands_out=1.0)


@pytest.fixture(scope="session")
def trials_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Trials]:
    """Return a function that makes trials for a model of one input `x`, for a target's scheme."""

    def make(model: Path, target: str = "x86_64-onnxruntime") -> Trials:
        rng = np.random.default_rng(1)
        ranges, validation = ({"x": rng.standard_normal((32, WIDE)).astype(np.float32)} for _ in range(2))
        source: Source = calibrated(read_source(model, validation), ranges, tmp_path_factory.mktemp("none") / "none")
        judge = Judge(validation, reference_answers(source, validation), None)
        scheme = find_target(target).scheme.model_copy(update={"least_products": 0})  # all its layers are small
        return Trials(source, scheme, judge, 1.0)

    return make
