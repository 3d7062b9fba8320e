"""The table of `edgeml compress` in terminals of any width: no figure vanishes."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from results import candidate, compression, target, usual

from edgeml.cli import compress, terminal


def shown(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **names: str) -> list[str]:
    """Return the lines of the result of one target, with an interval over the budget."""
    chosen = msgspec.structs.replace(candidate("int8", size=300_000, p50_us=400.0), drop_evidence="insufficient")
    monkeypatch.setattr(terminal, "table_width", lambda: width)
    monkeypatch.setattr(terminal, "mark", terminal.DRAWN.get)
    compress._print(compression(target((*usual()[:1], chosen), **names)), layers=False)
    return capsys.readouterr().out.replace("\u00a0", " ").splitlines()


@pytest.mark.parametrize("width", [120, 100, 90, 80, 60, 40])
def test_no_figure_is_dropped(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(width, capsys, monkeypatch)
    said = "\n".join(lines)
    for figure in ("int8", "400 us", "2.50 ×", "300 kB", "3.7 ×", "−0.1"):
        assert figure in said
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("int8 on"))]
    assert max(map(len, table)) <= width


def test_the_terminal_says_of_too_few_samples_what_the_report_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\n".join(shown(100, capsys, monkeypatch))
    assert "? too few samples" in said and "in budget" not in said
    assert "with too few samples to be sure" in said


def test_how_often_float_itself_is_right_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\n".join(shown(100, capsys, monkeypatch))
    assert "Float     right on 97.0 % of 1,667 held-back samples (95 % interval 95.0 to 98.0)" in said
