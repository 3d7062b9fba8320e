"""Take the pictures of the fleet page from a server that runs: `python docs/pictures/take.py http://127.0.0.1:8080 [DEVICE]`.

`edgeml demo --keep` leaves one running. Needs Playwright and Debian's chromium. Look at each picture before it is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
WIDE: Final = {"width": 1440, "height": 900}
NARROW: Final = {"width": 400, "height": 900}


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
            page.screenshot(path=Path(__file__).parent / f"fleet-{name}.png", full_page=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
