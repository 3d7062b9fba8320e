from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from edgeml.project import Project


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
