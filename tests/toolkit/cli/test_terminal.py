"""Tables keep every word at any width; headlines and notes are text, whatever brackets are in them."""

from __future__ import annotations

import pytest

from edgeml.cli import terminal

ROWS = [
    ["challenger_beats_champion", "+84.0 points (+75.3 to +89.6)", "above 0 on fresh labels, at most 1 point", ("pass", "ok")],
    ["fits_budget", "x86_64-onnxruntime: 92 kB, 88 us", "at most 200 kB, 10.00 ms", ("insufficient", "warn")],
]  # fmt: skip
HEADER = ["gate", "value", "threshold", "verdict"]


@pytest.mark.parametrize("width", [160, 100, 80, 60, 40])
def test_no_word_of_a_table_is_lost(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "table_width", lambda: width)
    terminal.table(HEADER, ROWS, left=3)
    said = capsys.readouterr().out
    assert "…" not in said
    assert all(len(line) <= width for line in said.splitlines())
    words = [w for row in ROWS for cell in row for w in (cell if isinstance(cell, str) else cell[0]).split()]
    assert all(word in said for word in words)


def test_figures_stand_right_and_apart(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(["target", "p50"], [["a", "9 us"], ["b", "1,234 us"]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines[2:]] == ["a           9 us", "b       1,234 us"]


@pytest.mark.parametrize("say", [terminal.headline, terminal.note])
def test_a_sentence_is_text_and_in_a_pipe_one_line(say, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    sentence = "[red]models/[x].onnx[/red]: " + "a word, " * 30 + "and the end."
    say(sentence)
    assert sentence in capsys.readouterr().out
