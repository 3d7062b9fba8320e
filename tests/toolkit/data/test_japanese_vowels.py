from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeml.data.sources import japanese_vowels as source
from edgeml.data.sources import read_source
from edgeml.data.sources.japanese_vowels import japanese_vowels, padded, read_line
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError


def test_the_archives_samples_are_there_in_its_order() -> None:
    series, speakers = japanese_vowels()
    assert series.shape == (640, 12, 29) and series.dtype == np.float32 and np.isfinite(series).all()
    assert np.bincount(speakers[:270]).tolist() == [0] + [30] * 9
    assert np.bincount(speakers[270:]).tolist() == [0, 31, 35, 88, 44, 29, 24, 40, 50, 29]  # as Kudo et al. count them
    assert series[0, 0, :3].tolist() == pytest.approx([1.860936, 1.891651, 1.939205])


def test_series_are_padded_at_their_end_and_no_further() -> None:
    series, _ = japanese_vowels()
    spoken = np.abs(series).max(1) > 0
    lengths = spoken.sum(1)
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert all(row[:length].all() for row, length in zip(spoken, lengths, strict=True))


def test_a_series_becomes_as_long_as_asked() -> None:
    series = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
    assert padded(series, 5).tolist() == [[1, 2, 3, 0, 0], [4, 5, 6, 0, 0]]
    assert padded(series, 2).tolist() == [[1, 2], [4, 5]]


def test_a_project_reads_it_by_name(tmp_path: Path) -> None:
    raw = read_source(DataSection(source="japanese-vowels"), tmp_path)
    assert np.concatenate(list(raw.batches)).shape == (640, 12, 29)
    assert raw.classes == tuple("123456789") and raw.own_scale and raw.preprocessing.kind == "array"
    assert raw.place(3) == "japanese-vowels, sample 3"


def test_reading_it_does_not_import_sktime() -> None:
    before = "sktime" in sys.modules
    japanese_vowels()
    assert ("sktime" in sys.modules) is before


@pytest.mark.parametrize("line", ["1,2:3,4:1", ":".join(["1"] * 12) + ":one", "1,x:" + "1,2:" * 11 + "3", "1:2,3:4"])
def test_a_line_of_another_form_is_told(line: str) -> None:
    with pytest.raises(EdgemlError, match=r"v\.ts: a line is no series of 12 channels and a speaker"):
        read_line(line, Path("v.ts"))


def test_an_sktime_without_the_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "FILES", ("gone.ts",))
    with pytest.raises(EdgemlError, match=r"gone\.ts: cannot be read: No such file"):
        japanese_vowels()


def test_a_missing_sktime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(EdgemlError, match=r"japanese-vowels: sktime is not installed; pip install 'edgeml\[demo\]'"):
        japanese_vowels()
