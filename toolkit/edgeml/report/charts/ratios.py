"""B over A, a row a figure: the ratio with its interval beside the line at 1."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgeml.report.charts.labels import width_of
from edgeml.report.charts.scales import ticks, written
from edgeml.report.look import tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go

LEFT, TOP, BOTTOM = 92, 30, 46
NARROW: Final = 0.02
TICK: Final = 44  # a number on the axis, and the room around it
SHIFT: Final = 14  # from the plot to the figures beside it
LATENCIES: Final = ("p50", "p90", "p99", "throughput")  # whose intervals set the axis; others may be cut there


@dataclass(frozen=True)
class Ratio:
    """One row.

    Args:
        name: "p50".
        value, low, high: B over A with the 95 % interval.
        differs: Whether a difference was found.
        single: Ratios of the single pairs of loads, drawn as dots; may be empty.
    """

    name: str
    value: float
    low: float
    high: float
    differs: bool
    single: tuple[float, ...] = ()

    @property
    def figures(self) -> tuple[str, str]:
        """The ratio and its interval in words, with enough decimals to tell the ends apart."""
        return written_ratio(self.value, self.low, self.high), " to ".join(
            written_ratio(end, self.low, self.high) for end in (self.low, self.high)
        )


def written_ratio(ratio: float, low: float, high: float) -> str:
    """Return a ratio with two decimals, three where its interval is narrow, fewer where it is large.

    Example:
        >>> written_ratio(0.7104, 0.68, 0.74), written_ratio(0.9994, 0.998, 1.002)
        ('0.71', '0.999')
    """
    if high >= 10:
        return f"{ratio:.1f}"
    return f"{ratio:.3f}" if high - low < NARROW else f"{ratio:.2f}"


def draw(rows: Sequence[Ratio], width: int) -> go.Figure:
    """Draw the rows from the top down, `width` pixels wide."""
    import plotly.graph_objects as go

    colours = tokens()
    low, high = _ends(rows)
    right = (
        SHIFT + 4 + max(width_of(first, bold=True) + width_of(f"  {rest}") for first, rest in (r.figures for r in rows))
    )
    chart = go.Figure()
    for i, row in enumerate(rows):
        colour = colours["now" if row.differs else "ref"]
        first, rest = row.figures
        dots = [r for r in row.single if low <= r <= high]
        chart.add_scatter(
            x=dots, y=[i + 0.3] * len(dots), mode="markers", marker={"size": 4, "color": colours["now-2"]},
            hovertemplate="one pair of loads: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        value = min(max(row.value, low), high)
        chart.add_scatter(
            x=[max(row.low, low), min(row.high, high)], y=[i, i], mode="lines",
            line={"color": colour, "width": 2}, hoverinfo="skip",
        )  # fmt: skip
        chart.add_scatter(
            x=[value], y=[i], mode="markers",
            marker={
                "symbol": "circle" if value == row.value else "triangle-right" if value > low else "triangle-left",
                "size": 10,
                "color": colour if row.differs else colours["surface"],
                "line": {"color": colour, "width": 1.5},
            },
            hovertemplate=f"{html.escape(row.name)}: {row.value:.3f}<extra></extra>",
        )  # fmt: skip
        chart.add_annotation(
            x=1, xref="x domain", xanchor="left", xshift=SHIFT, y=i,
            text=f"<b>{first}</b>  {rest}",
            font={"color": colours["text"] if row.differs else colours["text-2"]}, showarrow=False, borderpad=0,
        )  # fmt: skip
    chart.add_vline(x=1, line={"color": colours["ref"], "width": 1.5}, layer="below")
    for side, anchor, shift in (("lower", "right", -6), ("higher", "left", 6)):
        chart.add_annotation(
            x=1, xanchor=anchor, xshift=shift, y=1, yref="y domain", yanchor="bottom", yshift=4,
            text=f"B {side}", font={"color": colours["text-2"]}, showarrow=False, borderpad=0,
        )  # fmt: skip
    values = ticks(low, high, min(5, max(2, int(width - LEFT - right) // TICK)))
    chart.update_xaxes(title="B over A, ratio", range=[low, high], tickvals=values, ticktext=written(values))
    chart.update_yaxes(
        range=[len(rows) - 0.4, -0.6], tickvals=list(range(len(rows))), ticktext=[r.name for r in rows], showgrid=False,
        showline=False,
    )  # fmt: skip
    chart.update_layout(margin={"l": LEFT, "r": right, "t": TOP, "b": BOTTOM})
    return chart


def _ends(rows: Sequence[Ratio]) -> tuple[float, float]:
    """Return the axis's ends: 1 and the intervals of latencies lie within, and the words at 1 have room."""
    ruling = [row for row in rows if row.name in LATENCIES] or rows
    low, high = min([1.0, *(r.low for r in ruling)]), max([1.0, *(r.high for r in ruling)])
    room = max(0.32 * (high - low), 0.02)
    return max(0.0, min(low - 0.1 * (high - low), 1 - room)), max(high + 0.1 * (high - low), 1 + room)
