"""What a second target costs is told beside the first, and evaluation is timed apart from the rest."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgeml_compress.ladder import trials
from peers.second_target import RESULT, Cost, Kept, _evaluation, section


def test_kept_costs_become_a_chapter_with_ratios_to_the_first(tmp_path: Path) -> None:
    costs = [Cost("x86_64-onnxruntime", 12.0, 16.0, 2.0, 9.0), Cost("x86_64-litert", 0.0, 3.0, 1.5, 2.0)]
    (tmp_path / RESULT).write_bytes(msgspec.json.encode(Kept("A network.", costs)))

    said = section(tmp_path)

    assert "| x86_64-onnxruntime | 12.0 | 16.0 | 2.0 | 30.0 | 1.000 | 9.0 |" in said
    assert "| x86_64-litert | 0.0 | 3.0 | 1.5 | 4.5 | 0.150 | 2.0 |" in said


def test_nothing_kept_is_no_chapter(tmp_path: Path) -> None:
    assert section(tmp_path) == ""


def test_only_what_compares_answers_counts_as_evaluation() -> None:
    before = trials.run
    with _evaluation() as watch:
        assert watch.seconds == 0 and trials.run is not before
        with pytest.raises(AttributeError):
            trials.run(None, None, {})  # type: ignore[arg-type]
        assert watch.seconds > 0
    assert trials.run is before
