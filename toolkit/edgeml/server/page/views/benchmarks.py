"""What compression measured on the host for the model that the fleet runs: by target, against the float model."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from edgeml.figures import DASH, kilobytes, milliseconds, number, percent, signed
from edgeml.server.page.icons import Status
from edgeml.server.page.views.model import most_run
from edgeml.server.page.views.scene import Scene
from edgeml.server.tables import RELEASES
from edgeml_compress.results import CandidateResult, Compression, TargetResult

RESULT: Final = "compression.json"
REPORT: Final = "report.html"
AXIS_TOP: Final = 1.25  # ratios up to here are drawn


@dataclass(frozen=True)
class Row:
    """One target's chosen candidate.

    Args:
        p50, float_p50, size, float_size, accuracy, interval, drop: In words; a dash where it was not measured.
        faster: How many times faster than float, with its interval.
        low, dot, high: The ratio's interval on an axis of 0 to 100 %, `None` where it was not raced.
        note: Why a figure is missing, or what is uncertain.
    """

    title: str
    target: str
    chosen: str
    p50: str
    float_p50: str
    ratio: str
    ratio_interval: str
    low: float | None
    dot: float | None
    high: float | None
    size: str
    float_size: str
    accuracy: str
    float_accuracy: str
    drop: str
    status: Status
    word: str


@dataclass(frozen=True)
class Benchmarks:
    """All that the page shows.

    Args:
        heading, lead: The verdict.
        rows: A target each.
        one: Where the ratio 1 lies on the axis.
        report: The compression report's address, empty where there is none.
        machine: Where latency was measured.
        command: Makes it again, or for the first time.
    """

    heading: str
    lead: str
    rows: tuple[Row, ...]
    one: float
    report: str
    machine: str
    command: str


def read_benchmarks(connection: sa.Connection, scene: Scene) -> Benchmarks:
    """Read what was measured for the model that most devices run, else for the newest release."""
    release = most_run(connection)
    query = sa.select(RELEASES.c.name, RELEASES.c.model).order_by(RELEASES.c.created_at.desc()).limit(1)
    if release is not None:
        query = query.where(RELEASES.c.name == release)
    row = connection.execute(query).first()
    model = row.model if row is not None else _newest_model(scene.project.workspace / "compressed")
    found = read_compression(scene.project.workspace, model) if model else None
    if found is None:
        about = f"The workspace holds no measurement of {model}; " if model else ""
        return Benchmarks(
            "Nothing was benchmarked yet",
            f"{about}{'c' if about else 'C'}ompress the model to measure it on every target.",
            (),
            0.0,
            "",
            "",
            "edgeml compress",
        )
    rows = tuple(_row(t, found.max_drop) for t in found.targets)
    report = f"/reports/{model}" if (scene.project.workspace / "compressed" / model / REPORT).is_file() else ""
    name = f"release {row.name}" if row is not None else "not released yet"
    return Benchmarks(
        *_verdict(found, model, name),
        rows,
        100 / AXIS_TOP,
        report,
        f"{found.machine.cpu}, {found.machine.cores} cores",
        found.command or "edgeml compress",
    )


def read_compression(workspace: Path, model: str) -> Compression | None:
    """Return what compression found for a model, `None` where there is nothing readable or the name leads elsewhere."""
    if os.sep in model or model.startswith("."):
        return None
    try:
        return msgspec.json.decode((workspace / "compressed" / model / RESULT).read_bytes(), type=Compression)
    except (OSError, msgspec.MsgspecError):
        return None


def _newest_model(folder: Path) -> str:
    made = [path.parent for path in folder.glob(f"*/{RESULT}")]
    return max(made, key=lambda path: path.stat().st_mtime).name if made else ""


def _row(target: TargetResult, max_drop: float) -> Row:
    chosen: CandidateResult = target.candidate(target.chosen)
    raced = chosen.ratio is not None and chosen.ratio_low is not None and chosen.ratio_high is not None
    within = chosen.drop_points is None or chosen.drop_points <= max_drop
    status: Status = "bad" if target.unmet or not within else "never" if target.p50_us is None else "ok"
    word = {"bad": "over a budget", "never": "latency not measured here", "ok": "within every budget"}[status]
    drop = DASH
    if chosen.drop_points is not None:
        drop = _points(chosen.drop_points)
        if chosen.drop_low is not None and chosen.drop_high is not None:
            drop += f" ({_points(chosen.drop_high)} to {_points(chosen.drop_low)})"
    is_float = chosen.name == "float32"
    return Row(
        target.title,
        target.target,
        target.chosen,
        milliseconds(target.p50_us),
        milliseconds(target.float_p50_us),
        "float" if is_float else number(chosen.ratio, 2),
        f"{number(chosen.ratio_low, 2)} to {number(chosen.ratio_high, 2)}" if raced else "",
        _place(chosen.ratio_low) if raced else None,
        _place(chosen.ratio) if raced else None,
        _place(chosen.ratio_high) if raced else None,
        kilobytes(target.size_bytes),
        kilobytes(target.float_size_bytes),
        percent(target.accuracy),
        percent(target.float_accuracy),
        drop,
        status,
        word,
    )


def _points(drop: float) -> str:
    """Return a loss as a change of accuracy, in points; nothing lost has no sign."""
    return signed(round(-drop, 1) + 0.0)


def _place(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * min(max(ratio, 0.0), AXIS_TOP) / AXIS_TOP


def _verdict(found: Compression, model: str, name: str) -> tuple[str, str]:
    faster = [1 / c.ratio for t in found.targets if (c := t.candidate(t.chosen)).ratio and t.chosen != "float32"]
    smaller = [t.float_size_bytes / t.size_bytes for t in found.targets]
    if faster:
        gain = f"up to {max(faster):.1f} times faster" if max(faster) >= 1.05 else "no faster"
        heading = f"Compression made it {gain} and {min(smaller):.1f} times smaller"
    else:
        heading = f"Compression made it {min(smaller):.1f} times smaller; no latency was raced"
    judged = (
        f"Judged on {found.evaluation_samples:,} held-back samples; latency on this machine, both models interleaved."
    )
    return heading, f"Model {model}, {name}. {judged}"
