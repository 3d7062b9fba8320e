"""One target's candidates: what each costs in accuracy, against its latency, and how large it is.

Left is faster, up is more accurate, the circle's area is the file's size. A candidate far off the axes stands at their
edge as a triangle that points to it, so that it does not flatten the others.
"""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgeml.figures import kilobytes, number, signed
from edgeml.report.charts.labels import LINE, Box, Mark, Place, place, shortened, width_of
from edgeml.report.charts.scales import Scale, ticks, written
from edgeml.report.look import tokens
from edgeml_compress.judging.choice import FLOAT

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT: Final = 340
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 12, 46
LARGEST: Final = 28.0  # diameter of the largest file's circle, pixels
LEAST: Final = 6.0
LEAST_UNIT: Final = 0.5  # points, where the budget is less; of a cosine with 4 decimals a thousandth of it
EDGE: Final = 9.0  # how far a triangle lies from the edge
FAR: Final = 2.5  # times float32's latency, or times the budget, from where on a candidate is off the axes
CAP: Final = 4.0  # half the width of an interval's caps


@dataclass(frozen=True)
class Point:
    """A candidate in a panel.

    Args:
        name: Its name.
        x: Latency in the axis's unit, or size in kB.
        y: Change of accuracy in points, or the worst cosine.
        low, high: The interval of `y`, or `None`.
        size_bytes: The file's size.
    """

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    size_bytes: int


@dataclass(frozen=True)
class Axes:
    """What all panels of a report share.

    Args:
        x_title, y_title: With units.
        limit: The lowest `y` that the budget allows; `limit_name` says so at its line.
        top: The `y` of the float model.
        x_high: Where the x axis ends, or `None`: where the panel's own points do.
        largest_bytes: The file whose circle is `LARGEST` wide.
        decimals: Of a `y` in words.
    """

    x_title: str
    y_title: str
    limit: float
    limit_name: str
    top: float
    x_high: float | None
    largest_bytes: int
    decimals: int


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other is both left of and above, from left to right."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, -p.y)):
        if not found or point.y > found[-1].y:
            found.append(point)
    return found


def x_end(points: Sequence[Point]) -> float:
    """Return where an x axis has to end for points, without those far off."""
    plain = next((p.x for p in points if p.name == FLOAT), max(p.x for p in points))
    return 1.12 * max(p.x for p in points if p.x <= FAR * plain)


def y_range(points: Sequence[Point], axes: Axes) -> tuple[float, float]:
    """Return the y axis's ends: the limit is always seen, and the whole interval of all that do not lie far below it."""
    unit = max(axes.top - axes.limit, LEAST_UNIT * 10.0 ** (1 - axes.decimals))
    floor = axes.top - FAR * unit
    lows = [p.y if p.low is None else p.low for p in points if p.y >= floor]
    highs = [p.y if p.high is None else p.high for p in points]
    low = min([axes.limit - 0.35 * unit, *lows, *(floor - 0.5 * unit for p in points if p.y < floor)])
    high = max([axes.top, *highs])
    return low - 0.06 * (high - low), high + 0.24 * (high - low)


def draw(points: Sequence[Point], chosen: str, axes: Axes, width: int) -> go.Figure:
    """Draw a panel of a given width in pixels; its axes are fixed, so that labels keep their places."""
    import plotly.graph_objects as go

    low, high = y_range(points, axes)
    xs = Scale(0.0, axes.x_high or x_end(points), LEFT, width - RIGHT)
    ys = Scale(low, high, HEIGHT - BOTTOM, TOP)
    chart = go.Figure()
    ranked = _ranked(points, chosen)
    marks = [_mark(point, chosen, (xs, ys), axes) for point in ranked]
    name = _limit_name(marks, xs, ys, axes)
    _limit(chart, axes, low, name)
    best = front(points)
    chart.add_scatter(
        x=[min(p.x, xs.high) for p in best],
        y=[max(p.y, low) for p in best],
        mode="lines",
        line={"shape": "hv", "color": tokens()["now-soft"], "width": 1.8},
        hoverinfo="skip",
    )
    ordered = sorted(points, key=lambda p: (p.name == chosen, -p.size_bytes))
    for point in ordered:
        _point(chart, point, _looks(point, chosen, best), (xs, ys), axes)
    named = list(zip(ranked, _label_places(marks, best, name.box, (xs, ys), axes), strict=True))
    _labels(chart, named, chosen, (xs, ys), axes)
    x_ticks, y_ticks = ticks(0, xs.high, 5), ticks(low, high, 6)
    if axes.top == 1:  # a cosine ends at 1
        y_ticks = [t for t in y_ticks if t <= 1]
    chart.update_xaxes(title=axes.x_title, range=[0, xs.high], tickvals=x_ticks, ticktext=written(x_ticks))
    chart.update_yaxes(
        title={"text": axes.y_title, "standoff": 8},
        range=[low, high],
        tickvals=y_ticks,
        ticktext=written(y_ticks),
        showgrid=False,
    )
    chart.update_layout(margin={"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM})
    return chart


@dataclass(frozen=True)
class _LimitName:
    """Where the limit's name stands: its box in pixels, and which of the plot's edges it is at."""

    box: Box
    side: str
    edge: str


def _limit_name(marks: Sequence[Mark], xs: Scale, ys: Scale, axes: Axes) -> _LimitName:
    """Return the first free corner of the shaded part, from the lower right on; the lower right where none is."""
    width, height, limit = width_of(axes.limit_name) + 12, LINE + 8, ys.at(axes.limit)
    places = []
    for edge, top in (("bottom", ys.start - height), ("top", limit)):
        for side, left in (("right", xs.end - width), ("left", xs.start)):
            places.append(_LimitName(Box(left, top, left + width, top + height), side, edge))
    free = (p for p in places if not any(p.box.touches(mark.box) for mark in marks))
    return next(free, places[0])


def _limit(chart: go.Figure, axes: Axes, low: float, name: _LimitName) -> None:
    colours = tokens()
    chart.add_hrect(y0=low, y1=axes.limit, fillcolor=colours["sunken"], line_width=0, layer="below")
    chart.add_hline(y=axes.top, line={"color": colours["line"], "width": 1}, layer="below")
    chart.add_hline(y=axes.limit, line={"color": colours["text-2"], "width": 1, "dash": "5px,4px"})
    right, bottom = name.side == "right", name.edge == "bottom"
    chart.add_annotation(
        x=1 if right else 0, xref="x domain", xanchor=name.side, xshift=-6 if right else 6,
        y=low if bottom else axes.limit, yanchor=name.edge, yshift=4 if bottom else -4,
        text=axes.limit_name, font={"color": colours["text-2"]}, showarrow=False, borderpad=0,
    )  # fmt: skip


@dataclass(frozen=True)
class _Looks:
    line: str
    fill: str


def _looks(point: Point, chosen: str, best: Sequence[Point]) -> _Looks:
    colours = tokens()
    if point.name == chosen:
        return _Looks(colours["now"], colours["now"])
    if point.name == FLOAT:
        return _Looks(colours["ref"], colours["ref"])
    return _Looks(colours["now"] if point in best else colours["ref"], colours["surface"])


def _off(point: Point, xs: Scale, ys: Scale) -> str:
    """Return the direction in which a point lies off the axes, or nothing."""
    if point.x > xs.high:
        return "right"
    return "down" if point.y < ys.low else ""


def _drawn_at(point: Point, xs: Scale, ys: Scale) -> tuple[float, float]:
    """Return where a point's mark is drawn, in pixels."""
    x, y = xs.at(min(point.x, xs.high)), ys.at(max(point.y, ys.low))
    return min(x, xs.end - EDGE), min(y, ys.start - EDGE)


def _point(chart: go.Figure, point: Point, looks: _Looks, scales: tuple[Scale, Scale], axes: Axes) -> None:
    xs, ys = scales
    off = _off(point, xs, ys)
    x, y = _drawn_at(point, xs, ys)
    span = [] if point.low is None or point.high is None else [point.low, point.high]
    interval = f"<br>95 % interval {_change(span[0], axes)} to {_change(span[1], axes)}" if span else ""
    symbol = {"right": "triangle-right", "down": "triangle-down", "": "circle"}[off]
    chart.add_scatter(
        x=[point.x if not off else xs.low + (x - xs.start) / (xs.end - xs.start) * (xs.high - xs.low)],
        y=[point.y if not off else ys.low + (y - ys.start) / (ys.end - ys.start) * (ys.high - ys.low)],
        mode="markers",
        marker={
            "symbol": symbol,
            "size": 11 if off else diameter(point, axes),
            "color": looks.fill,
            "opacity": 1,
            "line": {"color": looks.line, "width": 1.5},
        },
        error_y=None
        if off or not span or point.name == FLOAT
        else {
            "type": "data",
            "symmetric": False,
            "array": [span[1] - point.y],
            "arrayminus": [point.y - span[0]],
            "color": looks.line,
            "thickness": 1.5,
            "width": CAP,
        },
        hovertemplate=f"<b>{html.escape(point.name)}</b><br>{_change(point.y, axes)}{interval}"
        f"<br>{number(point.x, 1)}, {kilobytes(point.size_bytes)}<extra></extra>",
    )


def diameter(point: Point, axes: Axes) -> float:
    """Return a circle's diameter in pixels; its area is as the file's size."""
    return float(max(LEAST, LARGEST * (point.size_bytes / axes.largest_bytes) ** 0.5))


def _change(value: float, axes: Axes) -> str:
    return number(value, axes.decimals) if axes.top == 1 else signed(value, axes.decimals)


def _ranked(points: Sequence[Point], chosen: str) -> list[Point]:
    """Return the points by how much their name is asked for: the chosen one, float32, the front, the others."""
    best = front(points)
    return sorted(points, key=lambda p: (p.name != chosen, p.name != FLOAT, p not in best, p.x))


def _label_places(
    marks: Sequence[Mark], best: Sequence[Point], limit_name: Box, scales: tuple[Scale, Scale], axes: Axes
) -> list[Place | None]:
    xs, ys = scales
    dashes = Box(xs.start, ys.at(axes.limit) - 2, xs.end, ys.at(axes.limit) + 2)
    area = Box(xs.start + 3, ys.end, xs.end - 1, ys.start - 2)
    return place(marks, [limit_name, dashes], _steps(best, xs, ys), area)


def _labels(
    chart: go.Figure,
    named: Sequence[tuple[Point, Place | None]],
    chosen: str,
    scales: tuple[Scale, Scale],
    axes: Axes,
) -> None:
    """Write the labels that have a place; the rest is told by hovering and by the table of all candidates."""
    xs, ys = scales
    for point, place_ in named:
        if place_ is None:
            continue
        off = _off(point, xs, ys)
        x, y = _drawn_at(point, xs, ys)
        first, second = (html.escape(line) for line in _words(point, chosen, off, axes))
        colour = tokens()["now" if point.name == chosen else "text-2"]
        chart.add_annotation(
            x=(x - xs.start) / (xs.end - xs.start),
            xref="x domain",
            y=(y - ys.start) / (ys.end - ys.start),
            yref="y domain",
            xanchor=place_.anchor_x,
            yanchor=place_.anchor_y,
            xshift=place_.shift_x,
            yshift=place_.shift_y,
            align=place_.anchor_x,
            text=f"<b>{first}</b><br>{second}" if point.name == chosen else f"{first}<br>{second}",
            font={"color": colour},
            showarrow=False,
            borderpad=0,
        )


def _mark(point: Point, chosen: str, scales: tuple[Scale, Scale], axes: Axes) -> Mark:
    xs, ys = scales
    off = _off(point, xs, ys)
    x, y = _drawn_at(point, xs, ys)
    radius = 6.0 if off else diameter(point, axes) / 2 + 1
    above = below = radius
    if not off and point.low is not None and point.high is not None and point.name != FLOAT:
        above, below = max(radius, y - ys.at(point.high)), max(radius, ys.at(max(point.low, ys.low)) - y)
    return Mark(x, y, above, below, max(radius, CAP), _words(point, chosen, off, axes), bold=point.name == chosen)


def _words(point: Point, chosen: str, off: str, axes: Axes) -> tuple[str, str]:
    name = f"{shortened(point.name)}, chosen" if point.name == chosen else shortened(point.name)
    if off == "down":
        return name, f"at {_change(point.y, axes)}"
    if off == "right":
        return name, f"at {number(point.x, 1)}"
    return name, kilobytes(point.size_bytes)


def _steps(best: Sequence[Point], xs: Scale, ys: Scale) -> list[Box]:
    """Return the front's line as boxes."""
    boxes = []
    for left, right in itertools.pairwise(best):
        (x0, y0), (x1, y1) = _drawn_at(left, xs, ys), _drawn_at(right, xs, ys)
        boxes += [Box(x0, y0 - 1, x1, y0 + 1), Box(x1 - 1, min(y0, y1), x1 + 1, max(y0, y1))]
    return boxes
