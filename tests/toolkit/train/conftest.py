from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeml.data import prepare
from edgeml.project import Project
from edgeml.train import train


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Train on one thread: tests share their cores, and the sums' order must not depend on how many there are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rows_project(root: Any, make_project: Any, digits: Any) -> Project:
    """Return a project on the digits as rows of 64 numbers, which a small perceptron learns in a second."""
    import numpy as np

    images, labels = digits
    np.savez(root / "rows.npz", inputs=images.reshape(-1, 64).astype(np.float32), labels=labels)
    return make_project("rows.npz", training='network = "tabular-mlp"\nepochs = 6\nbatch = 32\nlearning_rate = 1e-2')  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def _learned() -> dict[str, Path]:
    """Return where the trained project of this session lies, under `"root"`; the first test that needs it makes it."""
    return {}


@pytest.fixture
def trained_project(rows_project: Project, _learned: dict[str, Path], tmp_path_factory: Any) -> Project:
    """Return a copy of `rows_project` with its data prepared and one model trained: once a session, each test has its own."""
    if "root" not in _learned:
        train(rows_project, prepare(rows_project))
        kept = tmp_path_factory.mktemp("learned") / "project"
        shutil.copytree(rows_project.root, kept)
        _learned["root"] = kept
    else:
        shutil.copytree(_learned["root"], rows_project.root, dirs_exist_ok=True)
    return rows_project
