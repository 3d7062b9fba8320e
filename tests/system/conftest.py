"""A small project with a signed release, made once by the chain itself: real data flow, a network that trains in a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeml import stages
from edgeml.project import Project, load_project

PROJECT = """
name = "shapes"
scope = "Tell four drawn shapes apart."
targets = ["x86_64-onnxruntime", "x86_64-litert"]

[success.business]
metric = "shapes told apart"
threshold = 1
[success.ml]
metric = "accuracy"
threshold = 0.5
[success.economic]
metric = "cents a shape"
threshold = 1
direction = "at most"

[data]
source = "shapes:draw"
least_per_class = 20
[data.splits]
golden = 0.05
live = 0.3

[training]
network = "shapes:build_model"
epochs = 6
learning_rate = 1e-2

[fleet]
window_s = 0.2
drift_samples = 50
canary_answers = 50
silent_after_windows = 100
"""

MODULE = """
import numpy as np
from torch import nn


def draw():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:12, 0:12]
    inputs, labels = [], []
    for i in range(800):
        label = i % 4
        shift = rng.integers(-2, 3)
        shape = [abs(y - 6 - shift) < 2, abs(x - 6 - shift) < 2, abs(x - y - shift) < 2, abs(x + y - 11 - shift) < 2][label]
        inputs.append(shape[None] + rng.normal(0, 0.15, (1, 12, 12)))
        labels.append(label)
    return np.array(inputs, "f4"), np.array(labels), ["row", "column", "falling", "rising"]


def build_model(input_shape, classes):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 9, classes),
    )
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder after train, compress and the first release; copy it before use."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "edgeml.toml").write_text(PROJECT)
    (folder / "shapes.py").write_text(MODULE)
    project = load_project(folder)
    dataset = stages.prepare(project)
    model = stages.engineer(project, dataset)
    stages.deploy(project, stages.evaluate(project, model, dataset))
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Project:
    """A fresh copy of the made project."""
    shutil.copytree(made, tmp_path / "shapes")
    return load_project(tmp_path / "shapes")
