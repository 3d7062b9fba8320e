"""The comparison report: one HTML page about B against A, from the same figures as the JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from edgeml.figures import number
from edgeml.report import comparison_words as words
from edgeml.report import document
from edgeml.report.charts import latencies, loads, ratios
from edgeml.report.charts.labels import shortened
from edgeml_bench.comparison import Comparison, Measure

WIDE: Final = 620  # of the distributions; the ratios stand to their right
GAP: Final = 24
SLOW_US: Final = 1000.0  # from here on latencies are written in milliseconds
TABLE_NAME, CHART_NAME = 28, 36  # characters


@dataclass(frozen=True)
class _Row:
    """A line of the table of figures."""

    name: str
    a: str
    b: str
    ratio: str
    interval: str
    verdict: tuple[str, str]


def write(comparison: Comparison, path: Path) -> None:
    """Write the report of a comparison at `path`, whole.

    Raises:
        EdgemlError: It cannot be written.
    """
    names = words.short_names(comparison.a, comparison.b)
    slow = max(side.p50_us for side in comparison.sides) >= SLOW_US
    unit, per_us = ("ms", 1e-3) if slow else ("us", 1.0)
    threads = f"{comparison.threads} thread{'s' if comparison.threads != 1 else ''}"
    document.write(
        path,
        "comparison",
        title=comparison.reason.removesuffix("."),
        kind="Comparison report",
        subject=f"{comparison.target}, {threads}",
        made_at=time.time(),
        charts=True,
        comparison=comparison,
        ratio=ratios.Ratio("", comparison.ratio, comparison.ratio_low, comparison.ratio_high, differs=True).figures,
        pill=words.verdict(comparison),
        beyond=words.beyond_p50(comparison),
        names=[shortened(name, TABLE_NAME) for name in names],
        spread=_spread(comparison, names, unit, per_us),
        bin_width=_bin_width(comparison, unit, per_us),
        inferences=" and ".join(dict.fromkeys(f"{side.inferences:,}" for side in comparison.sides)),
        ratios=_ratios(comparison),
        rows=[_row(m) for m in comparison.measures],
        steady=words.steadiness(comparison),
        loads=_loads(comparison, unit, per_us),
        facts=_facts(comparison, threads),
    )


def _spread(comparison: Comparison, names: tuple[str, str], unit: str, per_us: float) -> Markup:
    spreads = [
        latencies.Spread(
            name=f"{letter}: {shortened(name, CHART_NAME)}",
            histogram=side.latency_us,
            p50_us=side.p50_us,
            p99_us=side.p99_us,
            line=line,
            fill=fill,
        )
        for letter, name, side, line, fill in (
            ("A", names[0], comparison.sides[0], "ref", "ref-soft"),
            ("B", names[1], comparison.sides[1], "now", "now-soft"),
        )
    ]
    said = [
        f"{s.name}: p50 {number(s.p50_us * per_us, 2)} {unit}, p99 {number(s.p99_us * per_us, 2)} {unit}"
        for s in spreads
    ]
    return document.figure(
        latencies.draw(spreads, unit, per_us, WIDE),
        height=latencies.HEIGHT,
        width=WIDE,
        name=f"Latencies of all inferences. {'; '.join(said)}",
        narrow=latencies.draw(spreads, unit, per_us, document.NARROW),
    )


def _bin_width(comparison: Comparison, unit: str, per_us: float) -> str:
    spreads = [latencies.Spread("", s.latency_us, s.p50_us, s.p99_us, "", "") for s in comparison.sides]
    _, _, exponent = latencies.seen(spreads)
    return f"{2.0**exponent * per_us:.3g}\u00a0{unit}"


def _ratios(comparison: Comparison) -> Markup:
    rows = [
        ratios.Ratio(
            name=m.name.removesuffix(" latency"),
            value=m.ratio,
            low=m.low,
            high=m.high,
            differs=m.verdict != "no difference",
            single=comparison.pair_ratios if m.name == "p50 latency" else (),
        )
        for m in comparison.measures
        if m.ratio is not None and m.low is not None and m.high is not None
    ]
    said = "; ".join(f"{r.name} {r.value:.2f}, {r.low:.2f} to {r.high:.2f}" for r in rows)
    width = document.WIDTH - WIDE - GAP
    return document.figure(
        ratios.draw(rows, width),
        height=latencies.HEIGHT,
        width=width,
        name=f"B over A, ratio with its 95 % interval. {said}",
        narrow=ratios.draw(rows, document.NARROW),
    )


def _loads(comparison: Comparison, unit: str, per_us: float) -> Markup:
    drawn = [
        (letter, side.load_began_s, [us * per_us for us in side.load_p50_us], side.p50_us * per_us)
        for letter, side in zip("AB", comparison.sides, strict=True)
    ]
    return document.figure(
        loads.draw(drawn, unit),
        height=loads.HEIGHT,
        name=f"p50 of each load in the order of time, {unit}",
        narrow=loads.draw(drawn, unit),
    )


def _row(measure: Measure) -> _Row:
    unit, a, b = words.in_unit(measure)
    return _Row(
        name=f"{measure.name}, {unit}",
        a=a,
        b=b,
        ratio=_ratio(measure),
        interval=words.interval(measure),
        verdict=words.judged(measure),
    )


def _ratio(measure: Measure) -> str:
    if measure.ratio is None or measure.low is None or measure.high is None:
        return number(measure.ratio, 2)
    return ratios.written_ratio(measure.ratio, measure.low, measure.high)


def _facts(comparison: Comparison, threads: str) -> list[tuple[str, str]]:
    a, b = (f"sha256 {document.short_hash(side.sha256)}" for side in comparison.sides)
    runtime = f"{document.RUNTIMES.get(comparison.runtime, comparison.runtime)} {comparison.runtime_version}"
    python = f"Python {comparison.machine.python}"
    return [
        ("A", a),
        ("B", b),
        ("Machine", document.machine_in_words(comparison.machine)),
        ("Versions", f"edgeml {document.version()}, {runtime}, {threads}, {python}"),
    ]
