"""`docs/reference/gates.md` lists every gate; `EDGEML_WRITE_DOCS=1` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from edgeml.gates import all_gates

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "gates.md"
HEAD = """# Gates

Made from the gates' files by `tests/toolkit/gates/test_reference.py`. `edgeml lifecycle status` shows their latest verdicts;
[the lifecycle](../explanation/lifecycle.md) says what a verdict does.

| phase | gate | requirement | check | risk | back to |
|---|---|---|---|---|---|
"""


def test_the_page_lists_every_gate() -> None:
    rows = [
        f"| {g.phase.replace('_', ' ')} | `{g.name}` | {g.requirement} | {g.check} | {g.risk} | {g.back_to.replace('_', ' ')} |"
        for g in all_gates()
    ]
    page = HEAD + "\n".join(rows) + "\n"
    if os.environ.get("EDGEML_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew: EDGEML_WRITE_DOCS=1 pytest tests/toolkit/gates"
