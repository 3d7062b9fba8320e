"""The reference page lists every operator that can be written, under what it does with integers."""

from __future__ import annotations

import re
from pathlib import Path

from edgeml_targets.exporters.tflite_writer.registry import Integer, entries

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "litert.md"


def test_the_page_lists_every_operator() -> None:
    table = PAGE.read_text().split("## Operators")[1].split("## ")[0]
    assert set(entries()) <= set(re.findall(r"[A-Z]\w+", table))


def test_the_page_tells_what_computes_in_float() -> None:
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| in float |")]
    in_float = {name for name, entry in entries().items() if entry.integer is Integer.NO}
    assert in_float - {"Identity", "Dropout"} == set(re.findall(r"[A-Z]\w+", row))
