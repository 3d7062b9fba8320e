"""All inferences of A and B above each other on one axis: how latencies are spread, with p50 and p99."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgeml.figures import number
from edgeml.report.charts.labels import width_of
from edgeml.report.charts.scales import ticks, written
from edgeml.report.look import tokens
from edgeml_targets.contract.histogram import Histogram, coarsen

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT: Final = 330
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 46
BINS: Final = 70  # that are seen, at most
FAR: Final = 2.0  # times the larger p50; a p99 beyond it is told, and the axis ends where `MOST` is seen
MOST: Final = 0.95
PLOTS: Final = ((0.58, 1.0), (0.0, 0.42))
ABOVE: Final = 24.0  # room above a plot for its name, pixels


@dataclass(frozen=True)
class Spread:
    """One side's latencies.

    Args:
        name: "A: float32".
        histogram: Of latencies in microseconds.
        p50_us, p99_us: Over all inferences.
        line, fill: Colours by their token.
    """

    name: str
    histogram: Histogram
    p50_us: float
    p99_us: float
    line: str
    fill: str


def seen(spreads: Sequence[Spread]) -> tuple[float, float, int]:
    """Return the axis's ends in microseconds and the exponent of the bins' width."""
    far = FAR * max(s.p50_us for s in spreads)
    high = max(s.p99_us for s in spreads)
    if high > far:
        high = max(min(1.5 * s.p50_us, s.histogram.quantile(MOST)) for s in spreads)
    high *= 1.12
    low = min(s.histogram.quantile(0.001) for s in spreads)
    low = max(0.0, low - 0.08 * (high - low))
    exponent = max(s.histogram.exponent for s in spreads)
    while (high - low) / 2.0**exponent > BINS:
        exponent += 1
    return low, high, exponent


def draw(spreads: Sequence[Spread], unit: str, per_us: float, width: int) -> go.Figure:
    """Draw both sides, `width` pixels wide, in a unit that has `per_us` of it a microsecond."""
    import plotly.graph_objects as go

    low, high, exponent = seen(spreads)
    chart = go.Figure()
    tallest = 0.0
    drawn = []
    for spread in spreads:
        bins = coarsen(spread.histogram, max(exponent, spread.histogram.exponent))
        total = max(bins.total, 1)
        shares = [100 * count / total for count in bins.counts]
        tallest = max([tallest, *shares])
        drawn.append((bins, shares))
    top = 1.3 * max(tallest, 1e-9)
    for i, (spread, (bins, shares)) in enumerate(zip(spreads, drawn, strict=True)):
        edges = bins.edges * per_us
        inside = [j for j in range(len(shares)) if edges[j] < high * per_us]
        chart.add_bar(
            x=[float(edges[j]) for j in inside],
            y=[shares[j] for j in inside],
            width=float(2.0**bins.exponent * per_us),
            offset=0,
            marker={"color": tokens()[spread.fill], "line": {"width": 0}},
            xaxis=_axis("x", i),
            yaxis=_axis("y", i),
            hovertemplate=f"%{{y:.1f}} % from %{{x:.3g}} {unit}<extra>{html.escape(spread.name)}</extra>",
        )
        _marks(chart, spread, i, (low, high), (unit, per_us), top, width)
    corner = 0.04 * (high - low)  # a tick there would touch the 0 of the other axis
    x_ticks = ticks((low + corner) * per_us, high * per_us, max(3, width // 90))
    y_ticks = ticks(0, top, 3)
    for i, domain in enumerate(PLOTS):
        last = i == len(PLOTS) - 1
        x_axis = {
            "range": [low * per_us, high * per_us],
            "anchor": _axis("y", i),
            "tickvals": x_ticks,
            "ticktext": written(x_ticks),
            "showticklabels": last,
            "title": {"text": f"latency of one inference, {unit}" if last else ""},
        }
        y_axis = {
            "range": [0, top],
            "domain": domain,
            "anchor": _axis("x", i),
            "tickvals": y_ticks,
            "ticktext": written(y_ticks),
            "title": {"text": "share, %"},
        }
        chart.update_layout({_axis("xaxis", i): x_axis, _axis("yaxis", i): y_axis})
    chart.update_layout(margin={"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM}, bargap=0)
    return chart


def _axis(letter: str, i: int) -> str:
    return letter if i == 0 else f"{letter}{i + 1}"


def _marks(
    chart: go.Figure,
    spread: Spread,
    i: int,
    ends: tuple[float, float],
    unit: tuple[str, float],
    top: float,
    width: int,
) -> None:
    """Draw name, p50 and p99; a mark beyond the axis is told at its right end."""
    name, per_us = unit
    colour, x_axis, y_axis = tokens()[spread.line], _axis("x", i), _axis("y", i)
    words = {
        "font": {"color": tokens()["text" if spread.line == "ref" else spread.line]},
        "showarrow": False,
        "borderpad": 0,
    }
    chart.add_annotation(
        x=0, xref=f"{x_axis} domain", xanchor="left", y=1, yref=f"{y_axis} domain", yanchor="bottom", yshift=6,
        text=f"<b>{html.escape(spread.name)}</b>", **words,
    )  # fmt: skip
    inner = width - LEFT - RIGHT
    for label, value, height in (("p50", spread.p50_us, 0.98), ("p99", spread.p99_us, 0.55)):
        said = f"{label} {number(value * per_us, _decimals(value * per_us))} {name}"
        beyond = value > ends[1]
        at = (min(value, ends[1]) - ends[0]) / (ends[1] - ends[0])
        if not beyond:
            chart.add_shape(
                type="line", x0=value * per_us, x1=value * per_us, y0=0, y1=height * top, xref=x_axis, yref=y_axis,
                line={"color": colour, "width": 2},
            )  # fmt: skip
        fits = at * inner + 8 + width_of(said, bold=True) < inner
        figure = said.removeprefix(f"{label} ")
        chart.add_annotation(
            x=at, xref=f"{x_axis} domain", xanchor="left" if fits else "right", xshift=6 if fits else -6,
            y=height * top, yref=y_axis, yanchor="top", text=f"{label} <b>{figure}</b>{' →' if beyond else ''}", **words,
        )  # fmt: skip


def _decimals(value: float) -> int:
    return 2 if value < 10 else 1 if value < 100 else 0
