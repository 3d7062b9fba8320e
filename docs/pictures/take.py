"""Take the pictures of the docs. Needs Playwright and Debian's chromium. Look at each picture before it is kept.

`python docs/pictures/take.py http://127.0.0.1:8080 [DEVICE]` takes the fleet page's from a server that runs; `edgeml demo
--keep` leaves one running. `python docs/pictures/take.py out/report.html "What each layer costs" NAME` takes a section of a
report, from its heading to the next, as `NAME.png`; of the heading "" its upper part.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

HERE: Final = Path(__file__).parent
CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
WIDE: Final = {"width": 1440, "height": 900}
NARROW: Final = {"width": 400, "height": 900}
PAPER: Final = {"width": 1200, "height": 900}
UPPER: Final = {"x": 0.0, "y": 0.0, "width": 1200.0, "height": 1180.0}  # of a report
MARGIN: Final = 24  # pixels around a section


def main(url: str, device: str) -> None:
    """Write `fleet-*.png` beside this file."""
    wanted = [
        ("overview", "/", WIDE, "light"),
        ("overview-dark", "/", WIDE, "dark"),
        ("overview-narrow", "/", NARROW, "light"),
        ("model", "/model", WIDE, "light"),
        ("benchmarks", "/benchmarks", WIDE, "light"),
    ]
    if device:
        wanted.append(("device", f"/devices/{device}", WIDE, "light"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, path, size, scheme in wanted:
            page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=2 if size is NARROW else 1)
            page.goto(url.rstrip("/") + path)
            page.wait_for_selector("h1")
            page.wait_for_function("document.fonts.status === 'loaded'")
            page.wait_for_timeout(500)  # charts draw in the frames after the page is there
            page.screenshot(path=HERE / f"fleet-{name}.png", full_page=True)
            page.close()
        browser.close()


def take_section(report: Path, heading: str, name: str) -> None:
    """Write the section of a report under `heading`, or its upper part where that is empty, as `<name>.png` beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=PAPER)
        page.goto(report.resolve().as_uri())
        page.wait_for_function("[...document.querySelectorAll('figure .chart')].every((c) => c.querySelector('svg'))")
        page.screenshot(path=HERE / f"{name}.png", full_page=True, clip=_section(page, heading) if heading else UPPER)
        browser.close()


def _section(page: Any, heading: str) -> dict[str, float]:
    """Return where a section lies on its page: from its heading to the next one, or to the page's end."""
    tops = page.evaluate(
        "[...document.querySelectorAll('h2')].map((h) => [h.innerText, h.getBoundingClientRect().top])"
    )
    names = [name for name, _ in tops]
    if heading not in names:
        raise SystemExit(f"{heading}: no such heading; choose one of {', '.join(names)}")
    top = tops[names.index(heading)][1]
    ends = [other for _, other in tops if other > top] or [page.evaluate("document.body.scrollHeight")]
    return {"x": 60 - MARGIN, "y": top - MARGIN, "width": 1080 + 2 * MARGIN, "height": min(ends) - top - MARGIN}


if __name__ == "__main__":
    if sys.argv[1].startswith("http"):
        main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    else:
        take_section(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
