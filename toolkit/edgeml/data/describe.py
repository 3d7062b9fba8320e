"""What a dataset looks like: counted once, while it is stored, batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.data.checks import DataCheck
from edgeml.data.splits import SPLITS


class Column(msgspec.Struct, frozen=True):
    """A column of a table, or all values of a sample that is none: lowest, highest, mean and standard deviation."""

    name: str
    low: float
    high: float
    mean: float
    deviation: float


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset's description, stored with its version.

    Args:
        samples: How many there are.
        shape, dtype: Of one raw sample.
        low, high, mean: Over all values.
        ranges: The same of each column of a table; else one, named "values".
        missing: Values that are not finite.
        duplicates: Samples whose content was there before.
        conflicts: Contents that have more than one label.
        straddling: Contents that are in more than one split.
        classes: How many samples each class has.
        splits: How many samples of each class each split has, in the order of `classes`.
        added: Samples that `edgeml data add` brought; `known` of what it brought were there already and were left out.
        checks: The data unit tests, judged against the expectations that the project recorded.
    """

    samples: int
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    mean: float
    ranges: tuple[Column, ...]
    missing: int
    duplicates: int
    conflicts: int
    straddling: int
    classes: dict[str, int]
    splits: dict[str, tuple[int, ...]]
    added: int = 0
    known: int = 0
    checks: tuple[DataCheck, ...] = ()

    @property
    def fewest(self) -> int:
        """How many samples the rarest class has."""
        return min(self.classes.values())


class Counter:
    """Counts values as batches pass: per column lowest, highest, mean and deviation. Batches merge to what one gives.

    Source: Chan et al. 1979, Stanford STAN-CS-79-773, for merging means and squared deviations.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = tuple(columns) or ("values",)
        width = len(self._names)
        self._low, self._high = np.full(width, np.inf), np.full(width, -np.inf)
        self._mean, self._squares, self._rows = np.zeros(width), np.zeros(width), 0

    def count(self, batch: npt.NDArray[Any]) -> None:
        """Count a batch (samples, ...) of finite values; its last axis holds the columns where there are some."""
        rows = batch.reshape(-1, len(self._names))
        if not len(rows):
            return
        self._low, self._high = np.minimum(self._low, rows.min(0)), np.maximum(self._high, rows.max(0))
        mean = rows.mean(0, dtype=np.float64)
        squares = np.var(rows, axis=0, dtype=np.float64) * len(rows)
        total = self._rows + len(rows)
        step = mean - self._mean
        self._squares += squares + step**2 * (self._rows * len(rows) / total)
        self._mean += step * (len(rows) / total)
        self._rows = total

    def columns(self) -> tuple[Column, ...]:
        """Return what was counted, a column each; one, named "values", where samples are no table's rows."""
        deviation = np.sqrt(self._squares / max(self._rows, 1))
        return tuple(
            Column(name, float(low), float(high), float(mean), float(wide))
            for name, low, high, mean, wide in zip(
                self._names, self._low, self._high, self._mean, deviation, strict=True
            )
        )


def first_not_finite(batch: npt.NDArray[Any]) -> int | None:
    """Return the position in a batch (samples, ...) of the first sample with a value that is NaN or infinite."""
    if batch.dtype.kind != "f":
        return None
    whole = np.isfinite(batch).reshape(len(batch), -1).all(1)
    return None if whole.all() else int(np.argmin(whole))


def digests_of(batch: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return the SHA-256 of each sample's bytes, (samples, 32)."""
    return np.frombuffer(b"".join(digest_of(sample) for sample in batch), np.uint8).reshape(len(batch), 32)


def digest_of(sample: npt.NDArray[Any]) -> bytes:
    """Return the SHA-256 of one sample's bytes."""
    return hashlib.sha256(np.ascontiguousarray(sample).data).digest()


def count_splits(
    codes: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], classes: int
) -> dict[str, tuple[int, ...]]:
    """Return how many samples of each class each split has."""
    return {
        name: tuple(int(c) for c in np.bincount(labels[codes == code], minlength=classes))
        for code, name in enumerate(SPLITS)
    }


def count_contents(digests: npt.NDArray[np.uint8], marks: npt.NDArray[np.integer]) -> int:
    """Return how many contents carry more than one mark: labels that contradict each other, or splits that overlap."""
    seen: dict[bytes, int] = {}
    double = set()
    for digest, mark in zip(digests, marks.tolist(), strict=True):
        if seen.setdefault(digest.tobytes(), mark) != mark:
            double.add(digest.tobytes())
    return len(double)


def count_classes(labels: npt.NDArray[np.int64], classes: Sequence[str]) -> dict[str, int]:
    """Return how many samples each class has, by name."""
    return dict(zip(classes, (int(c) for c in np.bincount(labels, minlength=len(classes))), strict=True))
