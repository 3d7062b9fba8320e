"""What a device has seen since the window opened: counts in the bins of its bundle's reference, mergeable exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.histogram import Histogram, count_frozen, frozen, merge
from edgeml_targets.contract.latencies import Latencies, latencies, merge_latencies
from edgeml_targets.contract.reference import Reference

Floats = npt.NDArray[np.float64]
_ROWS_HELD = 256  # counting 256 rows costs little more than counting one


@dataclass(frozen=True)
class Rows:
    """What is counted of some answers, a row each.

    Args:
        classes: The class answered.
        confidences: Its probability, 0 to 1.
        distances: How far the input lies from what is known.
        features: The input's features, (answers, features), in the reference's order.
        latencies_us: How long the inference took.
    """

    classes: npt.NDArray[np.int64]
    confidences: Floats
    distances: Floats
    features: Floats
    latencies_us: Floats

    def __len__(self) -> int:
        """How many answers these are."""
        return len(self.classes)


def joined(parts: list[Rows]) -> Rows:
    """Return the rows of all `parts`, one or more, in order."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        np.concatenate([p.classes for p in parts]),
        np.concatenate([p.confidences for p in parts]),
        np.concatenate([p.distances for p in parts]),
        np.concatenate([p.features for p in parts]),
        np.concatenate([p.latencies_us for p in parts]),
    )


@dataclass(frozen=True)
class Counts:
    """A window's statistics; two merged are what one over both spans would have been."""

    answers: int
    unknown: int
    errors: int
    classes: tuple[int, ...]
    features: dict[str, Histogram]
    distance: Histogram
    confidence: Histogram
    latency_us: Latencies

    @classmethod
    def empty(cls, reference: Reference) -> Counts:
        """Return the counts of nothing, in the bins of `reference`."""
        return cls(
            answers=0,
            unknown=0,
            errors=0,
            classes=(0,) * len(reference.classes),
            features={name: frozen(h) for name, h in reference.features.items()},
            distance=frozen(reference.distance),
            confidence=frozen(reference.confidence),
            latency_us=Latencies(),
        )

    def with_rows(self, rows: Rows, reference: Reference) -> Counts:
        """Return these counts with `rows` added."""
        classes = np.bincount(rows.classes, minlength=len(self.classes))
        return Counts(
            answers=self.answers + len(rows),
            unknown=self.unknown + int((rows.distances > reference.known.threshold).sum()),
            errors=self.errors,
            classes=tuple(a + int(b) for a, b in zip(self.classes, classes, strict=True)),
            features={n: count_frozen(h, rows.features[:, i]) for i, (n, h) in enumerate(self.features.items())},
            distance=count_frozen(self.distance, rows.distances),
            confidence=count_frozen(self.confidence, rows.confidences),
            latency_us=merge_latencies(self.latency_us, latencies(rows.latencies_us)),
        )

    def merged(self, later: Counts) -> Counts:
        """Return the counts of both spans; both must have been counted in the bins of one reference."""
        return Counts(
            answers=self.answers + later.answers,
            unknown=self.unknown + later.unknown,
            errors=self.errors + later.errors,
            classes=tuple(a + b for a, b in zip(self.classes, later.classes, strict=True)),
            features={name: merge(h, later.features[name]) for name, h in self.features.items()},
            distance=merge(self.distance, later.distance),
            confidence=merge(self.confidence, later.confidence),
            latency_us=merge_latencies(self.latency_us, later.latency_us),
        )


class OpenWindow:
    """Counts that grow; its owner sees to it that one thread at a time touches it.

    Args:
        reference: Of the bundle whose answers are counted.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.began_at = time.time()
        self._began = time.monotonic()
        self._counts = Counts.empty(reference)
        self._rows: list[Rows] = []
        self._held = 0

    @property
    def ended_at(self) -> float:
        """Now, by the clock that showed `began_at`: setting the clock must not make a window end before it began."""
        return self.began_at + time.monotonic() - self._began

    def add(self, rows: Rows) -> None:
        """Count some answers."""
        self._rows.append(rows)
        self._held += len(rows)
        if self._held >= _ROWS_HELD:
            self.counts()

    def refuse(self) -> None:
        """Count an input that was refused."""
        self._counts = replace(self._counts, errors=self._counts.errors + 1)

    def counts(self) -> Counts:
        """Return what was counted so far."""
        if self._rows:
            self._counts = self._counts.with_rows(joined(self._rows), self.reference)
            self._rows, self._held = [], 0
        return self._counts

    def take_back(self, earlier: Counts, began_at: float) -> None:
        """Join a window that was closed and could not be written, so that this one speaks for both spans."""
        self._counts = earlier.merged(self.counts())
        self._began -= self.began_at - began_at
        self.began_at = began_at
