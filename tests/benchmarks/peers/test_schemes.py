"""The data that a scheme is measured on is a user's: what it lacks is told with how to write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeml_targets.contract.errors import EdgemlError
from peers.schemes import KEYS, read_arrays


def test_the_three_arrays_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **{key: np.arange(3) for key in KEYS}, other=np.zeros(2))
    assert set(read_arrays(tmp_path / "d.npz")) == set(KEYS)


def test_what_is_missing_is_named_with_what_is_there_and_how_to_write_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.zeros(3), labels=np.zeros(3))
    with pytest.raises(EdgemlError, match=r"no array calibration, inputs, there are x, labels; .*numpy\.savez"):
        read_arrays(tmp_path / "d.npz")


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no arrays")
    for name in ("d.npy", "text.npz", "missing.npz"):
        with pytest.raises(EdgemlError, match=rf"{name}: .*numpy\.savez"):
            read_arrays(tmp_path / name)


def test_the_page_names_the_arrays() -> None:
    page = (Path(__file__).parents[3] / "docs/how-to/add-a-target.md").read_text()
    assert all(f"`{key}`" in page for key in KEYS)
