"""The compression report: one HTML page, from the same figures as the JSON."""

from __future__ import annotations

import html
from pathlib import Path

from edgeml.figures import kilobytes, milliseconds, number, percent
from edgeml_compress import Compression
from edgeml_targets.contract.files import write_atomic


def write(compression: Compression, path: Path) -> None:
    """Write the report of a compression at `path`, whole.

    Raises:
        EdgemlError: It cannot be written.
    """
    rows = [
        [
            t.target,
            c.name,
            milliseconds(c.p50_us),
            kilobytes(c.size_bytes),
            percent(c.accuracy),
            number(c.cosine_min, 4),
        ]
        for t in compression.targets
        for c in t.candidates
    ]
    cells = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    steps = "".join(f"<li>{html.escape(f'{s.what} {s.why} {s.effect}')}</li>" for s in compression.steps)
    page = f"""<!doctype html><meta charset="utf-8"><title>Compression of {html.escape(compression.model)}</title>
<h1>Compression of {html.escape(compression.model)}</h1><table>{cells}</table><ol>{steps}</ol>"""
    write_atomic(path, page.encode())
