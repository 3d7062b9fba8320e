"""Fleets to look at: stores filled through the server's own code with windows whose histograms were really counted.

Images are smoothed noise; the network's answers are a softmax over a few of their means. A drifted fleet sees the same
images with less contrast, so that every effect on a page is one that the judge found, not one that was typed in.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import sqlalchemy as sa

from edgeml.project import Budget, Criterion, DataSection, Fleet, Project, Success
from edgeml.server import tables
from edgeml.server.judge import Effect, Judgement, judge
from edgeml.server.store import Store
from edgeml_agent.messages import Report, Window, encode
from edgeml_targets.contract.histogram import count_frozen, frozen
from edgeml_targets.contract.latencies import latencies
from edgeml_targets.contract.reference import Reference, features, fit, probabilities

HOUR = 3600.0
DAY = 24 * HOUR
CLASSES = ("good", "label skewed", "fill low", "scratched", "cap missing")
PI5, PI4, X86, JETSON = "raspberrypi5-onnxruntime", "raspberrypi4-litert", "x86_64-openvino", "jetson-orin-tensorrt"
TARGETS = (PI5, PI4, X86, JETSON)
BUDGET_MS = {PI5: 20.0, PI4: 20.0, X86: 10.0, JETSON: 5.0}
P50_US = {PI5: 7_000.0, PI4: 10_800.0, X86: 2_100.0, JETSON: 1_250.0}
CONTRAST_LOSS = 0.87
AXES = (-2, -1)
_BATCH = 24


@dataclass(frozen=True)
class Device:
    """A device of a seeded fleet."""

    name: str
    group: str
    target: str
    release: str = "r41"
    state: str = "healthy"
    reason: str = ""
    slower: float = 1.0
    every_s: float = 1800.0
    last_seen_ago: float | None = 3.0
    temperature_c: Callable[[float], float] | None = None
    memory_mb: float = 146.0


@dataclass
class Seed:
    """A store under construction; `now` is when it is looked at."""

    store: Store
    project: Project
    now: float
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def enrol(self, devices: Sequence[Device]) -> None:
        rows = [
            {
                "device": d.name,
                "group": d.group,
                "target": d.target,
                "enrolled_at": self.now - 40 * DAY,
                "last_seen": None if d.last_seen_ago is None else self.now - d.last_seen_ago,
                "said_at": None if d.last_seen_ago is None else self.now - d.last_seen_ago,
                "release": None if d.last_seen_ago is None else d.release,
                "desired": d.release,
                "state": d.state,
                "reason": d.reason,
                "agent": "0.1.0",
                "python": "3.11.7",
                "machine": "aarch64" if d.target != X86 else "x86_64",
            }
            for d in devices
        ]
        with self.store.writing() as connection:
            connection.execute(sa.insert(tables.DEVICES), rows)

    def settle(self, devices: Sequence[Device]) -> None:
        """Set what recording windows changed: when a device was heard last, and what it runs."""
        with self.store.writing() as connection:
            for d in devices:
                seen = None if d.last_seen_ago is None else self.now - d.last_seen_ago
                values = {"last_seen": seen, "said_at": seen, "release": None if seen is None else d.release}
                connection.execute(sa.update(tables.DEVICES).where(tables.DEVICES.c.device == d.name).values(values))


def project_in(folder: Path, *, name: str = "bottle-check") -> Project:
    """Return a project whose budgets, floor and limits the pages hold figures against."""
    return Project(
        root=folder,
        name=name,
        scope="Say whether a bottle on the line is good.",
        targets=TARGETS,
        success=Success(ml=Criterion(metric="accuracy", threshold=0.94)),
        data=DataSection(source="images/"),
        budgets={t: Budget(latency_ms=ms, size_bytes=600_000) for t, ms in BUDGET_MS.items()},
        fleet=Fleet(window_s=10.0, unknown_limit=0.08, drift_samples=500, canary_answers=2000),
    )


@functools.cache
def scene_images(count: int, seed: int, contrast: float = 1.0) -> np.ndarray:
    """Return smoothed noise, (count, 1, 28, 28), 0 to 1."""
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((count, 1, 34, 34))
    smooth = sum(rough[..., i : i + 28, j : j + 28] for i in range(0, 6, 2) for j in range(0, 6, 2)) / 3
    level = 0.5 + 0.08 * rng.standard_normal((count, 1, 1, 1))
    depth = 0.16 * (1 + 0.18 * rng.standard_normal((count, 1, 1, 1))) * contrast
    return np.clip(level + depth * smooth, 0, 1).astype(np.float32)


def answers_for(images: np.ndarray) -> np.ndarray:
    """Return class probabilities, (count, classes): mostly good, less sure where there is less contrast."""
    means = images.reshape(len(images), 4, -1).mean(2)
    deviation = images.reshape(len(images), -1).std(1)
    others = 90 * (means - means.mean(1, keepdims=True)) + np.asarray([0.6, 0.0, -0.4, -1.2])
    scores = np.concatenate([45 * deviation[:, None] - 3.2, others], axis=1)
    return probabilities(scores)


@functools.cache
def reference() -> Reference:
    """Return the reference of the seeded model."""
    images = scene_images(1500, 1)
    return fit(images, answers_for(images), AXES)


@functools.cache
def counted(seed: int, contrast: float) -> Window:
    """Return a window's statistics of one batch of images, to be put under a device's name."""
    images = scene_images(_BATCH, 1000 + seed, contrast)
    known, rows, answered = reference(), features(images, AXES), answers_for(images)
    distance = known.known.distance(rows)
    return Window(
        device="x",
        boot="x",
        sequence=0,
        began_at=0.0,
        ended_at=0.0,
        release="r0",
        target="x",
        answers=_BATCH,
        unknown=int((distance > 1.35 * known.known.threshold).sum()),
        errors=0,
        classes=tuple(int(c) for c in np.bincount(answered.argmax(1), minlength=len(CLASSES))),
        features={n: count_frozen(frozen(h), rows[:, i]) for i, (n, h) in enumerate(known.features.items())},
        distance=count_frozen(frozen(known.distance), distance),
        confidence=count_frozen(frozen(known.confidence), answered.max(1)),
        latency_us=latencies([100.0]),
    )


def windows_of(
    seed: Seed,
    device: Device,
    *,
    since: float,
    contrast_at: Callable[[float], float],
    release_at: Callable[[float], str],
) -> list[Window]:
    """Return a device's windows from `since` to when it was last heard."""
    end = seed.now - (device.last_seen_ago or 0.0)
    offset = seed.rng.uniform(0, device.every_s)
    times = np.arange(since + offset, end, device.every_s)
    found = []
    for number, at in enumerate(times, 1):
        contrast = contrast_at(at)
        base = counted(int(seed.rng.integers(40)), contrast)
        slow = device.slower if contrast < 1 or device.slower == 1.0 else 1.0
        us = P50_US[device.target] * slow * (1 + 0.03 * seed.rng.standard_normal())
        spread = us * np.exp(np.abs(0.16 * seed.rng.standard_normal(_BATCH)))
        found.append(
            msgspec.structs.replace(
                base,
                device=device.name,
                boot=f"b{hashlib.sha256(device.name.encode()).hexdigest()[:10]}",
                sequence=number,
                began_at=float(at - min(device.every_s, 600)),
                ended_at=float(at),
                release=release_at(float(at)),
                target=device.target,
                latency_us=latencies(spread),
                memory_bytes=int((device.memory_mb + seed.rng.normal()) * 1e6),
                temperature_c=None if device.temperature_c is None else float(device.temperature_c(at)),
            )
        )
    return found


def judge_all(seed: Seed, windows: Sequence[Window], *, every_s: float, release: str) -> list[tuple[float, Judgement]]:
    """Judge windows span by span with the server's own judge, and write the judgements down."""
    ordered = sorted((w for w in windows if w.release == release), key=lambda w: w.ended_at)
    begin, history, found = ordered[0].ended_at, [], []  # type: ignore[var-annotated]
    while begin < seed.now:
        span = [w for w in ordered if begin <= w.ended_at < begin + every_s]
        begin += every_s
        if sum(w.answers for w in span) < seed.project.fleet.drift_samples:
            continue
        judgement = judge(span, dict.fromkeys(TARGETS, reference()), history, seed.project.fleet)
        if judgement.verdict == "quiet":
            history.append(judgement.effects)
        found.append((span[-1].ended_at, judgement))
    with seed.store.writing() as connection:
        for at, judgement in found:
            arrived = sa.select(sa.func.max(tables.WINDOWS.c.arrival)).where(tables.WINDOWS.c.ended_at <= at)
            through = connection.scalar(arrived.where(tables.WINDOWS.c.release == release)) or 0
            connection.execute(sa.insert(tables.JUDGEMENTS).values(_judgement_row(at, judgement, release, through)))
    return found


def _judgement_row(at: float, judgement: Judgement, release: str, through: int) -> dict[str, object]:
    worst: Effect = judgement.effects[judgement.worst]
    return {
        "at": at,
        "release": release,
        "device": None,
        "through": through,
        "windows": judgement.windows,
        "answers": judgement.answers,
        "verdict": judgement.verdict,
        "feature": judgement.worst,
        "effect": worst.effect,
        "limit": worst.limit,
        "effects": {name: [e.effect, e.limit] for name, e in judgement.effects.items()},
        "unknown_share": judgement.unknown_share,
        "unknown_limit": judgement.unknown_limit,
    }


def record(seed: Seed, messages: Sequence[Window | Report]) -> None:
    """Store messages as the server does, in batches."""
    ordered = sorted(messages, key=lambda m: m.ended_at if isinstance(m, Window) else m.at)
    for i in range(0, len(ordered), 1000):
        seed.store.record(ordered[i : i + 1000], seed.now)


def report(device: Device, at: float, event: str, release: str, detail: str, number: int) -> Report:
    return Report(
        device=device.name,
        boot="breports",
        sequence=number,
        at=at,
        release=release,
        target=device.target,
        event=event,
        detail=detail,
        agent="0.1.0",
        python="3.11.7",
        machine="aarch64",
    )


def window_rows(seed: Seed, devices: Sequence[Device]) -> list[dict[str, object]]:
    """Return one row a device without going through the store's per-message bookkeeping: for large fleets."""
    base = counted(1, 1.0)
    rows = []
    for i, d in enumerate(devices):
        at = seed.now - (d.last_seen_ago or 0.0)
        us = P50_US[d.target] * d.slower
        window = msgspec.structs.replace(
            base, device=d.name, boot="b1", sequence=1, ended_at=at, release=d.release, target=d.target
        )
        rows.append(
            {
                **{
                    n: getattr(window, n)
                    for n in ("device", "boot", "sequence", "release", "target", "answers", "unknown", "errors")
                },
                "arrival": i + 1,
                "began_at": at - 10,
                "ended_at": at,
                "received_at": at,
                "p50_us": us,
                "p99_us": 1.5 * us,
                "confidence_p10": 0.9,
                "confidence_p50": 0.97,
                "memory_bytes": 146_000_000,
                "temperature_c": 55.0,
                "waiting": 0,
                "content": encode(window),
            }
        )
    return rows
