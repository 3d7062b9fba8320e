"""Draw every comparison of RESULTS.md as one dot, for the docs: python -m peers.picture. Needs Playwright and Debian's chromium.

A panel a runtime: to the left ours is faster, upwards more accurate. The dashed lines are where `worse` may begin.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeml.report.look import SANS, tokens
from peers.comparing import Row, rows_of
from peers.listing import all_quantizers
from peers.measured import Journal
from peers.results import RUNTIMES
from peers.verdicts import LEAST_POINTS, MOST_SLOWER

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROOT: Final = Path(__file__).parents[2]
OUT: Final = ROOT / "docs" / "pictures" / "beside-the-peers.png"
CHROMIUM: Final = "/usr/bin/chromium"
SIZE: Final = (1080, 400)  # pixels
MOST_POINTS: Final = 5.0  # what lies above is drawn there, with its figure
TICKS: Final = (0.25, 0.5, 1.0, 2.0)  # ratios


def chart(rows: Sequence[Row]) -> go.Figure:
    """Return the chart of the rows in which ours was compared."""
    from plotly.subplots import make_subplots

    colours = tokens()
    compared = [r for r in rows if r.gain is not None and r.ratio is not None]
    found = make_subplots(cols=len(RUNTIMES), shared_yaxes=True, horizontal_spacing=0.03)
    for column, (runtime, title) in enumerate(RUNTIMES.items(), start=1):
        here = [r for r in compared if r.runtime == runtime]
        for lost, colour, symbol in ((False, "now", "circle"), (True, "warn", "triangle-up")):
            points = [(r.ratio.value, r.gain.points) for r in here if r.lost == lost and r.ratio and r.gain]
            found.add_scatter(
                x=[x for x, _ in points], y=[min(y, MOST_POINTS) for _, y in points], mode="markers+text",
                text=[f"{y:+.0f}" if y > MOST_POINTS else "" for _, y in points], textposition="middle right",
                marker={"symbol": symbol, "size": 9, "color": colours[colour], "opacity": 0.8}, row=1, col=column,
            )  # fmt: skip
        lines = {"color": colours["ref"], "width": 1, "dash": "dash"}
        found.add_vline(x=MOST_SLOWER, line=lines, row=1, col=column)
        found.add_hline(y=LEAST_POINTS, line=lines, row=1, col=column)
        won, lost_too = sum(r.won for r in here), sum(r.lost for r in here)
        found.add_annotation(
            text=f"<b>{title}</b><br>{won} of {len(here)} better in one and worse in none, {lost_too} worse",
            x=0, y=1.02, xref="x domain", yref="y domain", xanchor="left", yanchor="bottom", align="left",
            showarrow=False, row=1, col=column,
        )  # fmt: skip
    return _dressed(found)


def _dressed(found: go.Figure) -> go.Figure:
    colours, (width, height) = tokens(), SIZE
    axis = {"linecolor": colours["line-strong"], "gridcolor": colours["line"], "zeroline": False}
    found.update_xaxes(
        **axis, type="log", title="latency, ours over theirs", tickvals=TICKS, ticktext=[f"{t:g}" for t in TICKS],
        range=[math.log10(0.2), math.log10(2.4)],
    )  # fmt: skip
    found.update_yaxes(**axis, range=[-3, MOST_POINTS + 0.5])
    found.update_yaxes(title="accuracy, ours less theirs, points", col=1)
    found.update_layout(
        template="none", width=width, height=height, showlegend=False, paper_bgcolor=colours["surface"],
        plot_bgcolor=colours["surface"], font={"family": SANS, "size": 12, "color": colours["text-2"]},
        margin={"l": 56, "r": 16, "t": 52, "b": 44},
    )  # fmt: skip
    return found


def take(drawn: go.Figure, out: Path) -> None:
    """Write a chart as a PNG of `SIZE`."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "chart.html"
        drawn.write_html(page_file, config={"displayModeBar": False})
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(page_file.as_uri())
        page.locator(".main-svg").first.wait_for()
        page.locator(".plot-container").screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / ".peers")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    take(chart(rows_of(Journal(asked.folder / "results"), all_quantizers())), asked.out)
    print(asked.out)
