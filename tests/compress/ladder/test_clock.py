"""A clock takes what a format cannot express for endless, and a disk that is full for what it is."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeml_compress.candidates import static_int8
from edgeml_compress.ladder.clock import Clock
from edgeml_compress.ladder.trials import Trials
from edgeml_targets.contract.errors import EdgemlError, NotExpressed, NotWritten
from edgeml_targets.target import find_target

from .conftest import WIDE


def clock(trials: Trials, folder: Path) -> Clock:
    target = find_target("x86_64-onnxruntime")
    return Clock(trials, target, target.settings(), {"x": np.ones((1, WIDE), np.float32)}, folder)


@pytest.mark.parametrize("kind", [NotExpressed, EdgemlError])
def test_what_cannot_be_expressed_takes_for_ever(
    kind: type[EdgemlError],
    even: Path,
    trials_of: Callable[..., Trials],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write(*_: object) -> None:
        raise kind("no form", where="x", mend="none")

    monkeypatch.setattr("edgeml_compress.ladder.clock.write", write)
    assert clock(trials_of(even), tmp_path).scouted_us(static_int8("minmax")) == math.inf


def test_a_file_that_cannot_be_written_is_no_slow_one(
    even: Path, trials_of: Callable[..., Trials], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten):
        clock(trials_of(even), tmp_path / "file").scouted_us(static_int8("minmax"))


def test_float_is_timed(even: Path, trials_of: Callable[..., Trials], tmp_path: Path) -> None:
    assert 0 < clock(trials_of(even), tmp_path).scouted_us(None) < math.inf


def test_a_recipe_is_scouted_once(
    even: Path, trials_of: Callable[..., Trials], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("edgeml_compress.ladder.clock.scout", lambda *given: asked.append(given) or len(asked))
    one = clock(trials_of(even), tmp_path)
    assert [one.scouted_us(None), one.scouted_us(static_int8("minmax")), one.scouted_us(None)] == [1, 2, 1]
