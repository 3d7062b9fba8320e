"""The charts of the model page: effects over time, and labelled accuracy with its intervals."""

from __future__ import annotations

from typing import Final

from edgeml.figures import number, percent
from edgeml.server.page import charts
from edgeml.server.page.charts import Options
from edgeml.server.page.views.model import Drift, Model
from edgeml.server.page.words import clock

HEIGHT: Final = 268
MOST_NAMED: Final = 3
ROW_PX: Final = 16


def drift_chart(view: Model, drift: Drift, now: float) -> Options:
    """Return the effects over time: what is over its limit in blue and named, the rest in grey."""
    names = list(drift.judged[-1].effects)
    lines = {n: [(j.at, j.effects[n][0]) for j in drift.judged if n in j.effects] for n in names}
    high = max([drift.limit, *(v for points in lines.values() for _, v in points)])
    low, high, step = charts.nice_range(
        min(0.0, *(v for p in lines.values() for _, v in p)) if high < 0.5 else 0.0, high * 1.05, 4
    )
    option = charts.base(
        f"{view.heading}. Effects of {len(names)} features over time, threshold {number(drift.limit, 2)}"
    )
    option["grid"] = [charts.grid(24, HEIGHT - 54, left=40, right=150)]
    option["xAxis"] = [charts.time_axis(0, view.begin, view.end, labels=True)]
    option["yAxis"] = [charts.value_axis(0, low, high, step, decimals=max(charts.decimals_of(step), 1))]
    named = list(drift.over[:MOST_NAMED])
    rest = sorted((n for n in names if n not in named), key=lambda n: lines[n][-1][1])
    ends = _spread([lines[n][-1][1] for n in named] + ([lines[rest[-1]][-1][1]] if rest else []), high - low)
    series = []
    for name in rest:
        drawn = charts.line(0, name, lines[name], colour="now" if name in drift.over else "ref-soft")
        if name == rest[-1]:
            words = f"{len(rest)} {'others' if named else 'features'}, up to {number(lines[name][-1][1], 2)}"
            drawn["endLabel"] = {**charts.end_label(words, shift=ends[-1]), **charts.text("text-2")}
        series.append(drawn)
    for name, shift in zip(named, ends, strict=False):
        drawn = charts.line(0, name, lines[name])
        drawn["endLabel"] = charts.end_label(f"{name} {number(lines[name][-1][1], 2)}", shift=shift)
        series.append(drawn)
    marks = [charts.threshold(drift.limit, f"alarm threshold {number(drift.limit, 2)}")]
    if drift.worst_quiet is not None and drift.worst_quiet < 0.75 * drift.limit:
        marks.append(charts.threshold(drift.worst_quiet, f"worst quiet {number(drift.worst_quiet, 2)}", dotted=True))
    if drift.alarm_at is not None and drift.alarm_at > view.begin:
        marks.append(charts.upright(drift.alarm_at, colour="warn", words=f"alarm {clock(drift.alarm_at, now)}"))
    series[0]["markLine"] = charts.mark_lines(marks)
    option["series"] = series
    small = {
        "grid": [{"right": 8}],
        "xAxis": [{"splitNumber": 3}],
        "series": [{"endLabel": {"show": False}} for _ in series],
    }
    return charts.narrow(option, small)


def accuracy_chart(view: Model) -> Options:
    """Return labelled accuracy as dots with 95 % intervals, against the floor."""
    found = view.accuracy
    highs = [100 * m.high for m in found] + ([100 * view.floor] if view.floor is not None else [])
    lows = [100 * m.low for m in found] + ([100 * view.floor] if view.floor is not None else [])
    low, high, step = charts.nice_range(min(lows) - 1, min(max(highs) + 0.5, 100.0), 4)
    option = charts.base(
        "Labelled accuracy with its 95 % interval"
        + (f", floor {percent(view.floor)}" if view.floor is not None else "")
    )
    option["tooltip"]["trigger"] = "item"
    option["grid"] = [charts.grid(16, HEIGHT - 80, left=36, right=64)]
    option["xAxis"] = [{**charts.time_axis(0, view.begin, view.end, labels=True), "splitNumber": 4}]
    option["yAxis"] = [charts.value_axis(0, low, min(high, 100.0), step, decimals=charts.decimals_of(step))]
    dots: Options = {
        "type": "scatter",
        "name": "labelled",
        "symbolSize": 9,
        "itemStyle": {"color": "var(--now)", "borderColor": "var(--surface)", "borderWidth": 1.5, "opacity": 1},
        "emphasis": {"disabled": True},
        "data": [[m.at * 1000, round(100 * m.share, 2)] for m in found],
    }
    bars = [
        [
            {"coord": [m.at * 1000, 100 * m.low], "symbol": "none"},
            {"coord": [m.at * 1000, 100 * m.high], "symbol": "none"},
        ]
        for m in found
    ]
    ink = {"color": "var(--now)", "width": 1.5, "type": "solid"}
    marks: list[object] = [[{**a, "lineStyle": ink, "label": {"show": False}}, b] for a, b in bars]
    if view.floor is not None:
        marks.append(
            charts.threshold(
                100 * view.floor, f"floor {number(100 * view.floor, 1)}", below=found[0].share < view.floor
            )
        )
    dots["markLine"] = {"symbol": "none", "silent": True, "animation": False, "data": marks}
    newest = found[-1]
    named = {**dots, "name": "newest", "data": [dots["data"][-1]], "silent": True}
    del named["markLine"]
    named["label"] = {
        "show": True,
        "position": "right",
        "distance": 8,
        "formatter": f"{number(100 * newest.share, 1)}",
        **charts.text("text", bold=True),
    }
    option["series"] = [dots, named]
    return option


def _spread(values: list[float], span: float) -> list[int]:
    """Return how far to move labels at these heights, in px, so that none covers another; order of height is kept."""
    pixels = HEIGHT - 54
    wanted = [-v / span * pixels for v in values]
    order = sorted(range(len(values)), key=lambda i: wanted[i])
    placed: dict[int, float] = {}
    last = None
    for i in order:
        at = wanted[i] if last is None else max(wanted[i], last + ROW_PX)
        placed[i] = last = at
    return [round(placed[i] - wanted[i]) for i in range(len(values))]
