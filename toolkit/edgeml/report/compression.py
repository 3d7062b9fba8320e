"""The compression report: one HTML page, from the same figures as the JSON."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from edgeml.figures import number, signed
from edgeml.report import compression_words as words
from edgeml.report import document, layer_words
from edgeml.report.charts import layers, trade_off
from edgeml.report.charts.interval import interval, interval_head, scale_of
from edgeml.report.charts.scales import Scale
from edgeml.report.charts.trade_off import Axes, Point
from edgeml_compress import CandidateResult, Compression, TargetResult
from edgeml_compress.judging.choice import FLOAT, LEAST_COSINE
from edgeml_compress.results import LayerSensitivity

GAP: Final = 24  # between two panels
MOST_APART: Final = 4.0  # times, between the ends of two panels' axes that still share one
SLOW_US: Final = 1000.0  # from here on latencies are written in milliseconds


@dataclass(frozen=True)
class _Unit:
    """The unit of all latencies of a report."""

    name: str
    per_us: float

    def of(self, latency_us: float | None) -> str:
        """Return a latency without its unit, with three digits."""
        if latency_us is None:
            return number(None)
        value = latency_us * self.per_us
        return number(value, 2 if value < 10 else 1 if value < 100 else 0)


@dataclass(frozen=True)
class _Row:
    """A target's line in the table of choices."""

    target: TargetResult
    taken: CandidateResult
    p50: str
    faster: str
    faster_between: str
    smaller: str
    accuracy: str
    change: str
    change_between: str
    drawn: Markup
    verdict: words.Verdict


@dataclass(frozen=True)
class _Costs:
    """What each layer costs, for the targets that it is the same for."""

    targets: str
    verdict: str
    drawn: Markup
    rows: list[tuple[str, str, LayerSensitivity | None, str]]


def write(compression: Compression, path: Path) -> None:
    """Write the report of a compression at `path`, whole.

    Raises:
        EdgemlError: It cannot be written.
    """
    unit = _unit(compression.targets)
    scale = _interval_scale(compression)
    measured = [t for t in compression.targets if len(_points(t, unit, by_size=False)) > 0]
    document.write(
        path,
        "compression",
        title=words.headline(compression),
        kind="Compression report",
        subject=f"{compression.model}, {compression.parameters:,} parameters",
        made_at=datetime.datetime.fromisoformat(compression.made_at).timestamp(),
        charts=True,
        compression=compression,
        lead=words.lead(compression),
        panels=_panels(compression, measured or compression.targets, unit),
        panels_caption=words.panels_caption(compression, by_size=not measured, shown=len(measured)),
        unit=unit,
        rows=[_row(t, unit, compression, scale) for t in compression.targets],
        interval_head=interval_head(scale, -compression.max_drop) if compression.labelled else "",
        notes=_notes(compression.targets),
        costs=_costs(compression),
        loss_name=layer_words.loss_name(labelled=compression.labelled),
        loss=lambda cost: layer_words.loss_in_words(cost.loss if cost else None, labelled=compression.labelled),
        kept=_kept(compression.targets),
        by_reason=layer_words.by_reason,
        facts=_facts(compression),
    )


def _interval_scale(compression: Compression) -> Scale:
    """Return the scale of the intervals of change, which all rows of the table share."""
    lows, highs = [-compression.max_drop], [0.0]
    for target in compression.targets:
        taken = words.taken(target)
        if taken.drop_low is not None and taken.drop_high is not None:
            lows.append(-taken.drop_high)
            highs.append(-taken.drop_low)
    return scale_of(min(lows), max(highs))


def _unit(targets: Sequence[TargetResult]) -> _Unit:
    known = [t.float_p50_us for t in targets if t.float_p50_us is not None]
    return _Unit("ms", 1e-3) if known and max(known) >= SLOW_US else _Unit("us", 1.0)


def _points(target: TargetResult, unit: _Unit, *, by_size: bool) -> list[Point]:
    """Return a target's candidates as a panel shows them; those without latency or judgement have no place there."""
    points = []
    for c in target.candidates:
        x = c.size_bytes / 1000 if by_size else None if c.p50_us is None else c.p50_us * unit.per_us
        y = -c.drop_points if c.drop_points is not None else c.cosine_min
        if x is None or y is None:
            continue
        low, high = (None, None) if c.drop_low is None or c.drop_high is None else (-c.drop_high, -c.drop_low)
        points.append(Point(c.name, x, y, low, high, c.size_bytes))
    return points


def _panels(compression: Compression, targets: Sequence[TargetResult], unit: _Unit) -> list[tuple[str, int, Markup]]:
    by_size = all(not _points(t, unit, by_size=False) for t in targets)
    drawn = [(t, _points(t, unit, by_size=by_size)) for t in targets]
    drawn = [(t, points) for t, points in drawn if points]
    if not drawn:
        return []
    ends = [trade_off.x_end(points) for _, points in drawn]
    columns = 2 if len(drawn) == 4 else min(len(drawn), 3)
    width = (document.WIDTH - GAP * (columns - 1)) // columns
    axes = Axes(
        x_title="",
        y_title="accuracy against float32, points" if compression.labelled else "worst cosine against float32",
        limit=-compression.max_drop if compression.labelled else LEAST_COSINE,
        limit_name=words.limit_name(compression),
        top=0.0 if compression.labelled else 1.0,
        x_high=max(ends) if max(ends) <= MOST_APART * min(ends) else None,
        largest_bytes=max(c.size_bytes for t in targets for c in t.candidates),
        decimals=1 if compression.labelled else 4,
    )
    return [
        (t.target, width, _panel(t, points, axes, width, "size, kB" if by_size else _x_title(t, unit)))
        for t, points in drawn
    ]


def _panel(target: TargetResult, points: Sequence[Point], axes: Axes, width: int, x_title: str) -> Markup:
    """Draw a target's panel, and once more for small screens."""
    axes = dataclasses.replace(axes, x_title=x_title)
    named = ", ".join(f"{p.name} {number(p.x, 1)}" for p in points)
    return document.figure(
        trade_off.draw(points, target.chosen, axes, width),
        height=trade_off.HEIGHT,
        width=width,
        name=f"{target.target}, {axes.y_title} against {x_title}: {named}; {target.chosen} was chosen",
        narrow=trade_off.draw(points, target.chosen, axes, document.NARROW),
    )


def _x_title(target: TargetResult, unit: _Unit) -> str:
    threads = f"{target.threads} thread{'s' if target.threads != 1 else ''}"
    return f"p50 latency, {unit.name} (one inference, {threads})"


def _row(target: TargetResult, unit: _Unit, compression: Compression, scale: Scale) -> _Row:
    taken, faster = words.taken(target), words.times_faster(target)
    between = change = change_between = ""
    drawn, compressed = Markup(""), target.chosen != FLOAT
    smaller = f"{number(words.times_smaller(target), 1, '×')} smaller" if compressed else "float itself"
    if compressed and taken.ratio_low is not None and taken.ratio_high is not None:
        between = f"{1 / taken.ratio_high:.2f} to {1 / taken.ratio_low:.2f}"
    if compressed and taken.drop_points is not None and taken.drop_low is not None and taken.drop_high is not None:
        ends = (-taken.drop_high, -taken.drop_low)
        change, change_between = signed(-taken.drop_points), f"{signed(ends[0])} to {signed(ends[1])}"
        drawn = interval(scale, -compression.max_drop, -taken.drop_points, ends)
    return _Row(
        target=target,
        taken=taken,
        p50=unit.of(target.p50_us),
        faster=number(faster, 2, "×"),
        faster_between=between,
        smaller=smaller,
        accuracy=number(None if target.accuracy is None else 100 * target.accuracy, 1),
        change=change or ("0" if not compressed else number(None)),
        change_between=change_between,
        drawn=drawn,
        verdict=words.verdict(target),
    )


def _notes(targets: Sequence[TargetResult]) -> list[tuple[str, str]]:
    """Return each note once, after the targets that it is about; those are not named where it is about all."""
    about: dict[str, list[str]] = {}
    for target in targets:
        for note in target.notes:
            about.setdefault(note, []).append(target.target)
    return [("" if len(names) == len(targets) else ", ".join(names), note) for note, names in about.items()]


def _costs(compression: Compression) -> list[_Costs]:
    groups = layer_words.grouped(compression)
    whole = len(groups) == 1 and len(groups[0]) == len(compression.targets)
    return [_costs_of(group, compression, "" if whole else ", ".join(t.target for t in group)) for group in groups]


def _costs_of(group: Sequence[TargetResult], compression: Compression, names: str) -> _Costs:
    target, labelled = group[0], compression.labelled
    drawn, loss_name = layer_words.layers_of(target, labelled=labelled), layer_words.loss_name(labelled=labelled)
    said = "; ".join(f"{a.name} {number(a.sqnr_db, 1)} dB, {a.form}" for a in drawn[-layers.MOST_ROWS :])
    return _Costs(
        targets=names,
        verdict=layer_words.verdict(target),
        drawn=document.figure(
            layers.draw(drawn, loss_name, document.WIDTH),
            height=layers.height(drawn),
            name=f"SQNR of the outputs with one layer alone in integers, the quietest first: {said}",
            narrow=layers.draw(drawn, loss_name, document.NARROW),
        ),
        rows=layer_words.rows_of(target),
    )


def _kept(targets: Sequence[TargetResult]) -> list[tuple[str, list[layer_words.Reason]]]:
    """Return what the chosen candidates leave in float, once for the targets that it is the same for."""
    about: dict[tuple[str, ...], list[str]] = {}
    for target in targets:
        if words.taken(target).kept:
            about.setdefault(words.taken(target).kept, []).append(target.target)
    return [
        ("" if len(names) == len(targets) else ", ".join(names), layer_words.by_reason(kept))
        for kept, names in about.items()
    ]


def _facts(compression: Compression) -> list[tuple[str, str]]:
    here = compression.machine
    versions = [f"{document.RUNTIMES.get(name, name)} {version}" for name, version in compression.versions.items()]
    samples = (
        f"{compression.range_samples:,} set ranges, {compression.validation_samples:,} validated, "
        f"{compression.evaluation_samples:,} held back"
    )
    facts = [
        ("Model", f"sha256 {document.short_hash(compression.model_sha256)}"),
        ("Data", f"sha256 {document.short_hash(compression.data_sha256)}: {samples}"),
        ("Machine", document.machine_in_words(here)),
        ("Versions", ", ".join([f"edgeml {document.version()}", *versions, f"Python {here.python}"])),
    ]
    return [*facts, ("Images", compression.preprocessing)] if compression.preprocessing else facts
