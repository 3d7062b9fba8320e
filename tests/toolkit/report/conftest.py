"""Reports, and a browser that reads them from the disk."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

PROBE = HERE.parent / "server" / "page" / "probe.js"


@dataclass
class Seen:
    """What a browser saw of a page: the probe's findings, complaints of the console, addresses asked for."""

    found: dict[str, Any]
    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    text: str = ""


@pytest.fixture(scope="session")
def look(browser: Any) -> Callable[[Path, int], Seen]:
    """Return a function that opens a file at a width in pixels and measures it."""

    def open_page(path: Path, width: int) -> Seen:
        page = browser.new_page(viewport={"width": width, "height": 900})
        seen = Seen({})
        page.on("console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: seen.complaints.append(str(e)))
        page.on("dialog", lambda d: (seen.complaints.append(d.message), d.dismiss()))
        page.on("request", lambda r: seen.addresses.append(r.url))
        page.goto(path.as_uri())
        page.wait_for_function(
            "[...document.querySelectorAll('figure .chart')].every((c) => c.querySelector('svg'))", timeout=60_000
        )
        seen.found = page.evaluate(PROBE.read_text())
        seen.text = page.inner_text("body")
        page.close()
        return seen

    return open_page
