"""Small real projects: scikit-learn's data as NPZ, and a project file around it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pytest

from edgeml.project import Project, load_project

EVEN = "calibration = 0.1\nvalidation = 0.2\ntest = 0.2\ngolden = 0.02"
TEMPLATE = """\
name = "small"
scope = "A small project of a test."
targets = ["x86_64-onnxruntime"]
[data]
source = "{source}"
{data}
[data.splits]
{splits}
[training]
{training}
"""


class MakeProject(Protocol):
    def __call__(self, source: str, *, data: str = "", splits: str = EVEN, training: str = "") -> Project: ...


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of a project that is to be."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def make_project(root: Path) -> MakeProject:
    """Return a function that writes a project file with the given lines of TOML a section, and loads it."""

    def make(source: str, *, data: str = "", splits: str = EVEN, training: str = "") -> Project:
        text = TEMPLATE.format(source=source, data=data, splits=splits, training=training)
        (root / "edgeml.toml").write_text(text)
        return load_project(root)

    return make


@pytest.fixture(scope="session")
def digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return 600 of scikit-learn's handwritten digits, uint8 (600, 8, 8) of 0 to 16, and their labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.images[:600].astype(np.uint8), found.target[:600].astype(np.int64)


@pytest.fixture
def project(
    root: Path, make_project: MakeProject, digits: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
) -> Project:
    """Return a project on the digits, grey images of 8 x 8 pixels."""
    np.savez(root / "digits.npz", inputs=digits[0], labels=digits[1])
    return make_project("digits.npz", data='colour = "grey"')
