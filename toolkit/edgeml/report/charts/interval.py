"""A small interval in a table's cell, as inline SVG: what was lost against float, the budget dashed."""

from __future__ import annotations

from typing import Final

from markupsafe import Markup

from edgeml.figures import number
from edgeml.report.charts.labels import width_of
from edgeml.report.charts.scales import Scale

WIDTH: Final = 132
HEIGHT: Final = 28
EDGE: Final = 10.0


def scale_of(low: float, high: float) -> Scale:
    """Return the scale that shows `low` to `high` within a cell."""
    return Scale(low, high if high > low else low + 1.0, EDGE, WIDTH - EDGE)


def interval(scale: Scale, budget: float, value: float, ends: tuple[float, float]) -> Markup:
    """Return the drawing of a value with its interval, beside 0 and the budget."""
    low, high = (scale.at(end) for end in ends)
    middle = HEIGHT / 2
    said = f"{number(value, 1)}, 95 % interval {number(ends[0], 1)} to {number(ends[1], 1)}"
    return Markup(
        '<svg class="interval" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img" aria-label="{said}">'
        '<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{h}"/>'
        '<line class="limit" x1="{limit:.1f}" x2="{limit:.1f}" y1="0" y2="{h}"/>'
        '<path class="bar" d="M{low:.1f} {m}H{high:.1f}M{low:.1f} {up}V{down}M{high:.1f} {up}V{down}"/>'
        '<circle class="dot" cx="{at:.1f}" cy="{m}" r="4.5"/></svg>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        said=said,
        zero=scale.at(0.0),
        limit=scale.at(budget),
        low=low,
        high=high,
        m=middle,
        up=middle - 4,
        down=middle + 4,
        at=scale.at(value),
    )


def interval_head(scale: Scale, budget: float) -> Markup:
    """Return the column's head: the names of the two lines above them, as far as they don't touch."""
    name = f"budget {number(budget, 0 if budget == int(budget) else 1)}"
    right = min(scale.at(budget) + width_of(name) / 2, WIDTH - 2.0)
    left = max(right - width_of(name), 0.0)
    zero = scale.at(0.0)
    text = Markup('<text x="{:.1f}" y="12" text-anchor="{}">{}</text>')
    drawn = text.format(left, "start", name)
    if zero - 4 > left + width_of(name) + 4:
        drawn += text.format(zero, "middle", "0")
    return Markup('<svg class="interval" width="{w}" height="16" viewBox="0 0 {w} 16">{drawn}</svg>').format(
        w=WIDTH, drawn=drawn
    )
