"""ECharts options: pieces that every chart is made of. Colours are the tokens' names, so light and dark need no call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

Options = dict[str, Any]
FONT: Final = '"Inter Variable", Roboto, system-ui, sans-serif'
NARROW_PX: Final = 560
_STEPS: Final = (1, 2, 2.5, 5, 10)


def text(colour: str = "text-3", *, bold: bool = False, size: int = 12) -> Options:
    """Return a text's style."""
    return {"color": f"var(--{colour})", "fontFamily": FONT, "fontSize": size, "fontWeight": 600 if bold else 400}


def base(sentence: str) -> Options:
    """Return what every chart has: no animation, no legend, a sentence for those who do not see it, a quiet tooltip."""
    return {
        "animation": False,
        "textStyle": {"fontFamily": FONT},
        "aria": {"enabled": True, "label": {"description": sentence}},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": "var(--surface)",
            "borderColor": "var(--line-strong)",
            "borderWidth": 1,
            "padding": [8, 12],
            "extraCssText": "box-shadow:none;border-radius:6px",
            "textStyle": text("text"),
            "axisPointer": {"type": "line", "lineStyle": {"color": "var(--line-strong)", "type": "solid"}},
        },
        "axisPointer": {"link": [{"xAxisIndex": "all"}]},
    }


def grid(top: int, height: int, *, left: int, right: int) -> Options:
    """Return a plot's place, which its labels cannot move."""
    return {"left": left, "right": right, "top": top, "height": height, "outerBoundsMode": "none"}


def time_axis(index: int, begin: float, end: float, *, labels: bool) -> Options:
    """Return a time axis in UTC, from `begin` to `end` in seconds since 1970."""
    return {
        "type": "time",
        "gridIndex": index,
        "min": begin * 1000,
        "max": end * 1000,
        "splitNumber": 8,
        "axisLine": {"lineStyle": {"color": "var(--line-strong)"}},
        "axisTick": {"show": False},
        "axisLabel": {
            "show": labels,
            "hideOverlap": True,
            "margin": 10,
            "formatter": {"day": "{d} {MMM}", "hour": "{HH}:{mm}", "minute": "{HH}:{mm}", "second": "{HH}:{mm}:{ss}"},
            "rich": {},
            **text(),
        },
        "splitLine": {"show": False},
        "axisPointer": {"label": {"show": False}},
    }


def value_axis(index: int, low: float, high: float, step: float, *, decimals: int = 0) -> Options:
    """Return a value axis with gridlines at multiples of `step`."""
    return {
        "type": "value",
        "gridIndex": index,
        "min": low,
        "max": high,
        "interval": step,
        "axisLine": {"show": False},
        "axisTick": {"show": False},
        "axisLabel": {
            ":formatter": f"v => v.toFixed({decimals}).replace('-', '\\u2212').replace(/\\B(?=(\\d{{3}})+$)/g, ',')",
            "margin": 8,
            **text(),
        },
        "splitLine": {"lineStyle": {"color": "var(--line)"}},
    }


def line(index: int, name: str, points: Sequence[tuple[float, float | None]], *, colour: str = "now") -> Options:
    """Return a line over time; points are (seconds since 1970, figure)."""
    return {
        "type": "line",
        "name": name,
        "xAxisIndex": index,
        "yAxisIndex": index,
        "showSymbol": False,
        "symbol": "circle",
        "symbolSize": 6,
        "lineStyle": {"width": 1.8, "color": f"var(--{colour})"},
        "itemStyle": {"color": f"var(--{colour})"},
        "emphasis": {"disabled": True},
        "data": in_ms(points),
    }


def end_label(words: str, *, colour: str = "text", shift: int = 0) -> Options:
    """Return a line's name and value at its end, moved down by `shift` px to keep clear of its neighbour."""
    return {"show": True, "formatter": words, "distance": 8, "offset": [0, shift], **text(colour, bold=True)}


def threshold(value: float, words: str, *, below: bool = True, dotted: bool = False) -> Options:
    """Return a dashed line at a figure with its name; `below` is where the data lie."""
    return {
        "yAxis": value,
        "lineStyle": {"color": "var(--text-2)", "width": 1, "type": [2, 3] if dotted else [5, 4]},
        "label": {
            "show": True,
            "position": "insideStartTop" if below else "insideStartBottom",
            "formatter": words,
            **text("text-2"),
        },
    }


def upright(at: float, *, colour: str = "line-strong", words: str = "") -> Options:
    """Return a line through a plot at a time, named above it where there are words."""
    ink = text(f"{colour}-text" if colour in ("warn", "bad") else "text-2", bold=colour in ("warn", "bad"))
    return {
        "xAxis": at * 1000,
        "lineStyle": {"color": f"var(--{colour})", "width": 1 if colour == "line-strong" else 1.5, "type": "solid"},
        "label": {"show": bool(words), "position": "end", "formatter": words, "distance": 4, "align": "right", **ink},
    }


def mark_lines(lines: Sequence[Options]) -> Options:
    """Return lines that hang on a series."""
    return {"symbol": "none", "silent": True, "animation": False, "data": list(lines)}


def title(words: str, value: str, top: int, left: int) -> Options:
    """Return a panel's title above its plot's left edge; `value` stands beside it where lines have no labels."""
    rich = {"t": text("text", bold=True), "v": text("text-2")}
    return {
        "text": f"{{t|{words}}}" + (f"{{v|   {value}}}" if value else ""),
        "left": left,
        "top": top,
        "padding": 0,
        "textStyle": {"rich": rich, **text()},
    }


def nice_range(low: float, high: float, steps: int) -> tuple[float, float, float]:
    """Return an axis' lowest, highest and step: round figures that hold `low` to `high` in about so many steps.

    Example:
        >>> nice_range(0, 23.1, 3)
        (0.0, 30.0, 10.0)
    """
    rough = max(high - low, 1e-9) / steps
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in _STEPS if s * power >= rough * (1 - 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def decimals_of(step: float) -> int:
    """Return how many decimals an axis with this step needs."""
    return next((d for d in range(6) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 6)


def narrow(option: Options, small: Options) -> Options:
    """Return options that change to `small` where the chart is narrow."""
    return {
        "baseOption": option,
        "media": [{"query": {"maxWidth": NARROW_PX}, "option": small}, {"option": _wide(option, small)}],
    }


def in_ms(points: Sequence[tuple[float, float | None]]) -> list[list[float | None]]:
    """Return (seconds, figure) pairs as ECharts takes them; trailing holes are cut, so that a line's end has its label."""
    last = max((i for i, (_, value) in enumerate(points) if value is not None), default=-1)
    return [[at * 1000, None if value is None else round(value, 6)] for at, value in points[: last + 1]]


def _wide(option: Mapping[str, Any], small: Mapping[str, Any]) -> Options:
    """Return the wide values of what `small` changes, so that a chart that grows again has them back."""
    return {key: option[key] for key in small if key in option}
