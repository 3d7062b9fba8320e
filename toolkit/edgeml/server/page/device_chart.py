"""The device chart: lanes for releases and alarms over five measures, all on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeml.figures import number
from edgeml.server.page import charts
from edgeml.server.page.charts import Options
from edgeml.server.page.views.measures import Lane, Measures, Series

LEFT: Final = 60
RIGHT: Final = 132
LANE: Final = 20
TITLE: Final = 22
GAP: Final = 12
ABSENT: Final = 26
TALL: Final = 84  # px of a plot with two lines
LABEL_PX: Final = 16
LABEL_ROOM: Final = 1.3  # a limit has this much of its height, so that its name fits above it


@dataclass(frozen=True)
class Panel:
    """One measure's panel.

    Args:
        title: With its unit.
        value: The newest figures, for where lines have no labels.
        height: Of the plot in px; 0 where nothing was measured, which the title then says.
        low, high, step: The axis.
        series: Its lines.
    """

    title: str
    value: str
    height: int
    low: float
    high: float
    step: float
    series: tuple[Options, ...]


def device_chart(measures: Measures, sentence: str) -> tuple[Options, int]:
    """Return the chart's options and its height in px.

    Args:
        measures: What is drawn.
        sentence: What it shows, for those who do not see it.
    """
    lanes_height = LANE * (1 + max(len(measures.alarms), 1))
    option = charts.base(sentence)
    option |= {"grid": [charts.grid(0, lanes_height, left=LEFT, right=RIGHT)], "title": [], "series": []}
    option["xAxis"] = [{**charts.time_axis(0, measures.begin, measures.end, labels=False), "show": False}]
    option["yAxis"] = [{"type": "value", "gridIndex": 0, "min": 0, "max": lanes_height, "inverse": True, "show": False}]
    option["series"] += _lanes(measures)
    option["title"] += [_lane_name("Release", 2), _lane_name("Alarms", LANE + 2)]
    top, small_titles = lanes_height + 10, [{**name, "text": ""} for name in option["title"]]
    panels = [
        _latency(measures),
        _temperature(measures),
        _memory(measures),
        _predictions(measures),
        _confidence(measures),
    ]
    drawn = [p for p in panels if p.height]
    for panel in panels:
        index = len(option["grid"])
        option["title"].append(charts.title(panel.title, "" if panel.height else panel.value, top, LEFT))
        small_titles.append(charts.title(panel.title, panel.value, top, LEFT - 16))
        top += TITLE
        if not panel.height:
            top += ABSENT - TITLE
            continue
        option["grid"].append(charts.grid(top, panel.height, left=LEFT, right=RIGHT))
        option["xAxis"].append(charts.time_axis(index, measures.begin, measures.end, labels=panel is drawn[-1]))
        option["yAxis"].append(
            charts.value_axis(index, panel.low, panel.high, panel.step, decimals=charts.decimals_of(panel.step))
        )
        option["series"] += [{**s, "xAxisIndex": index, "yAxisIndex": index} for s in _marked(panel.series, measures)]
        top += panel.height + GAP
    height = top + (18 if drawn else 0)
    small = {
        "grid": [{"left": LEFT - 16, "right": 8}] * len(option["grid"]),
        "title": small_titles,
        "xAxis": [{"splitNumber": 3}] * len(option["xAxis"]),
        "series": [{"endLabel": {"show": False}}] * len(option["series"]),
    }
    return charts.narrow(option, small), height


def _lane_name(words: str, top: int) -> Options:
    return {"text": words, "left": 0, "top": top, "padding": 0, "textStyle": charts.text("text-2")}


def _lanes(measures: Measures) -> list[Options]:
    """Return the lanes as areas that hang on an empty line."""
    areas = [
        _area(lane, 0, "now-tint" if lane.lasts else "sunken", "now" if lane.lasts else "text-2")
        for lane in measures.releases
    ]
    for row, lane in enumerate(measures.alarms, 1):
        colour = "bad" if lane.bad else "warn"
        areas.append(_area(lane, row * LANE, colour, f"{colour}-text", beside=measures))
    if not measures.alarms:
        areas.append(_words("none in this time", measures, LANE))
    return [
        {
            "type": "line",
            "xAxisIndex": 0,
            "yAxisIndex": 0,
            "data": [],
            "silent": True,
            "markArea": {"silent": True, "data": areas},
        }
    ]


def _area(lane: Lane, top: float, fill: str, ink: str, beside: Measures | None = None) -> list[Options]:
    """Return a lane; its name stands inside, or beside it where `beside` gives the axis and the lane is short."""
    position = "insideLeft"
    if beside is not None:
        before = (lane.begin - beside.begin) / (beside.end - beside.begin)
        position = (
            "left"
            if before > 0.45
            else "right"
            if lane.end < beside.end - 0.5 * (beside.end - beside.begin)
            else "insideLeft"
        )
    inside = position == "insideLeft" and beside is not None
    label = {
        "show": True,
        "position": position,
        "formatter": lane.name,
        **charts.text("surface" if inside else ink, bold=True),
    }
    begin: Options = {
        "xAxis": lane.begin * 1000,
        "yAxis": top + 2,
        "label": label,
        "itemStyle": {"color": f"var(--{fill})"},
    }
    return [begin, {"xAxis": lane.end * 1000, "yAxis": top + LANE - 2}]


def _words(words: str, measures: Measures, top: float) -> list[Options]:
    label = {"show": True, "position": "insideLeft", "formatter": words, **charts.text()}
    begin: Options = {
        "xAxis": measures.begin * 1000,
        "yAxis": top,
        "label": label,
        "itemStyle": {"color": "transparent"},
    }
    return [begin, {"xAxis": measures.end * 1000, "yAxis": top + LANE}]


def _marked(series: Sequence[Options], measures: Measures) -> list[Options]:
    """Return a panel's lines with the starts of releases and alarms through it, and open alarms shaded to now."""
    first, *rest = series
    lines = [*first.get("markLine", {}).get("data", [])]
    lines += [charts.upright(lane.begin) for lane in measures.releases[1:]]
    lines += [
        charts.upright(lane.begin, colour="bad" if lane.bad else "warn")
        for lane in measures.alarms
        if lane.begin > measures.begin
    ]
    shaded = [lane for lane in measures.alarms if lane.lasts]
    area = [[{"xAxis": min(lane.begin for lane in shaded) * 1000}, {"xAxis": shaded[0].end * 1000}]] if shaded else []
    marked = {**first, "markLine": charts.mark_lines(lines)}
    marked["markArea"] = {"silent": True, "itemStyle": {"color": "var(--warn-tint)"}, "data": area}
    return [marked, *rest]


def _latency(m: Measures) -> Panel:
    if not m.p99_ms.measured:
        return _absent("Latency", "no answers in this time")
    p50, p99 = m.p50_ms.newest or 0.0, m.p99_ms.newest or 0.0
    high = _highest(m.p99_ms)
    budget = m.budget_ms if m.budget_ms is not None and m.budget_ms < 6 * high else None
    low, high, step = charts.nice_range(0, max(high, LABEL_ROOM * (budget or 0)), 3)
    decimals = 1 if high >= 3 else 3 if high < 0.3 else 2
    over = m.budget_ms is not None and p99 > m.budget_ms
    up, down = _apart(p99 / high, p50 / high)
    top = charts.line(0, "p99", m.p99_ms.points)
    top["endLabel"] = charts.end_label(
        f"p99 {number(p99, decimals)} ms", colour="warn-text" if over else "text", shift=up
    )
    if budget is not None:
        top["markLine"] = charts.mark_lines([charts.threshold(budget, f"budget {budget:g} ms (p99)")])
    bottom = charts.line(0, "p50", m.p50_ms.points, colour="now-2")
    bottom["endLabel"] = charts.end_label(f"p50 {number(p50, decimals)} ms", shift=down)
    told = f"p99 {number(p99, decimals)}, p50 {number(p50, decimals)}"
    if m.budget_ms is not None and budget is None:
        told += f", budget {m.budget_ms:g}"
    return Panel("Latency, ms", told, TALL, low, high, step, (top, bottom))


def _temperature(m: Measures) -> Panel:
    if not m.temperature_c.measured:
        return _absent("Temperature", "no thermal sensor found")
    newest = m.temperature_c.newest or 0.0
    low, high, step = charts.nice_range(_lowest(m.temperature_c) - 2, _highest(m.temperature_c) + 2, 2)
    line = charts.line(0, "temperature", m.temperature_c.points)
    line["endLabel"] = charts.end_label(f"{number(newest, 1)} °C")
    return Panel("Temperature, °C", number(newest, 1), 72, low, high, step, (line,))


def _memory(m: Measures) -> Panel:
    if not m.memory_mb.measured:
        return _absent("Memory", "the agent cannot read it here")
    newest = m.memory_mb.newest or 0.0
    low, high, step = charts.nice_range(0, max(_highest(m.memory_mb), LABEL_ROOM * (m.memory_limit_mb or 0)), 2)
    line = charts.line(0, "memory", m.memory_mb.points)
    line["endLabel"] = charts.end_label(f"{number(newest, 0)} MB")
    if m.memory_limit_mb is not None:
        line["markLine"] = charts.mark_lines([charts.threshold(m.memory_limit_mb, f"limit {m.memory_limit_mb:.0f} MB")])
    return Panel("Memory of the agent, MB", number(newest, 0), 60, low, high, step, (line,))


def _predictions(m: Measures) -> Panel:
    if not m.per_minute.measured:
        return _absent("Predictions", "no window in this time")
    newest = m.per_minute.newest or 0.0
    low, high, step = charts.nice_range(0, max(_highest(m.per_minute), 1e-3), 2)
    line = charts.line(0, "predictions", m.per_minute.points)
    line["endLabel"] = charts.end_label(f"{number(newest, 0 if newest >= 10 else 1)} per min")
    return Panel("Predictions per minute", number(newest, 0 if newest >= 10 else 1), 60, low, high, step, (line,))


def _confidence(m: Measures) -> Panel:
    if not m.confidence.measured:
        return _absent("Confidence", "no answers in this time")
    newest, lower = m.confidence.newest or 0.0, m.confidence_p10.newest or 0.0
    low, high, step = charts.nice_range(min(_lowest(m.confidence_p10), 0.9), 1.0, 2)
    median = charts.line(0, "median", m.confidence.points)
    up, down = _apart((newest - low) / (high - low), (lower - low) / (high - low))
    median["endLabel"] = charts.end_label(f"median {number(newest, 2)}", shift=up)
    tenth = charts.line(0, "lowest tenth below", m.confidence_p10.points, colour="now-soft")
    tenth["endLabel"] = {
        **charts.end_label(f"10 % below {number(lower, 2)}", shift=down),
        **charts.text("text-3"),
    }
    band = _band(m.confidence_p10, m.confidence)
    return Panel(
        "Confidence",
        f"median {number(newest, 2)}, 10 % below {number(lower, 2)}",
        TALL,
        low,
        high,
        step,
        (median, tenth, *band),
    )


def _apart(upper: float, lower: float) -> tuple[int, int]:
    """Return how far to move two end labels, in px, given their heights as shares of a tall plot's."""
    missing = LABEL_PX - (upper - lower) * TALL
    if missing <= 0:
        return 0, 0
    down = round(min(missing / 2, max(lower * TALL - LABEL_PX / 2, -2)))  # not below the axis
    return down - round(missing), down


def _band(low: Series, high: Series) -> tuple[Options, Options]:
    """Return two stacked lines without width, the upper filled down to the lower."""
    floor = charts.line(0, "band from", low.points)
    spread = tuple(
        (at, None if a is None or b is None else b - a) for (at, a), (_, b) in zip(low.points, high.points, strict=True)
    )
    upper = charts.line(0, "band", spread)
    for part in (floor, upper):
        part |= {"stack": "confidence", "lineStyle": {"width": 0}, "silent": True, "tooltip": {"show": False}, "z": 1}
    upper["areaStyle"] = {"color": "var(--now-soft)", "opacity": 0.45}
    return floor, upper


def _absent(what: str, why: str) -> Panel:
    return Panel(what, f"— {why}", 0, 0, 1, 1, ())


def _highest(series: Series) -> float:
    return max(value for _, value in series.points if value is not None)


def _lowest(series: Series) -> float:
    return min(value for _, value in series.points if value is not None)
