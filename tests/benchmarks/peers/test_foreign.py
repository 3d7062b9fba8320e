"""Rows about networks that others ship go into RESULTS.md as they were kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from peers.foreign import KEPT, Row, section

ROW = Row("magika", "int8-mixed", 0.9998, 3.791, 0.539, 0.531, 0.547, 15.2)


def test_kept_rows_become_a_chapter(tmp_path: Path) -> None:
    (tmp_path / KEPT).write_bytes(msgspec.json.encode({ROW.name: ROW}))

    assert "| magika | int8-mixed | 0.9998 | 3.79 | 0.539 (0.531 to 0.547) | 15 |" in section(tmp_path)


def test_nothing_kept_is_no_chapter(tmp_path: Path) -> None:
    assert section(tmp_path) == ""
