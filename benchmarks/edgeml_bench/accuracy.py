"""How often an artifact is right, and what it lost against another on the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_bench.answering import answers
from edgeml_bench.statistics import paired_difference, wilson_interval
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

Flags = npt.NDArray[np.bool_]


class Accuracy(msgspec.Struct, frozen=True):
    """`right` of `samples` answers were right.

    Example:
        >>> Accuracy(8, 10).share
        0.8
    """

    right: int
    samples: int

    @property
    def share(self) -> float:
        """The share of right answers, 0 to 1."""
        return wilson_interval(self.right, self.samples).value

    @property
    def low(self) -> float:
        """The lower end of the share's 95 % interval (Wilson)."""
        return wilson_interval(self.right, self.samples).low

    @property
    def high(self) -> float:
        """The upper end of the share's 95 % interval (Wilson)."""
        return wilson_interval(self.right, self.samples).high


class Drop(msgspec.Struct, frozen=True):
    """Points of accuracy that were lost (a point is 0.01; below 0 is a gain), with the 95 % interval."""

    points: float
    low: float
    high: float


def paired_drop(float_right: Flags, right: Flags) -> Drop:
    """Return what a model lost against the float one on the same samples.

    Args:
        float_right: Whether the float model was right, (samples,).
        right: Whether the other was, in the same order.

    Raises:
        ValueError: The two rest on different numbers of samples, or on none.

    Source: Tango 1998, see `statistics.paired_difference`.

    Example:
        >>> paired_drop(np.array([True] * 50), np.array([True] * 49 + [False])).points
        2.0
    """
    first, second = np.asarray(float_right, np.bool_), np.asarray(right, np.bool_)
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} samples against {len(second)}")
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    found = paired_difference(lost, won, len(first))
    return Drop(100 * found.value, 100 * found.low, 100 * found.high)


def right_answers(outputs: npt.NDArray[Any], labels: npt.NDArray[np.integer]) -> Flags:
    """Return for each sample whether its highest score is its label's; NaN scores are never right.

    Args:
        outputs: Scores, (samples, ..., classes), flattened a sample.
        labels: Classes, (samples,).
    """
    scores = np.asarray(outputs).reshape(len(labels), -1)
    whole = np.isfinite(scores).all(axis=1) if scores.dtype.kind == "f" else np.ones(len(scores), np.bool_)
    return np.asarray(whole & (scores.argmax(axis=1) == np.asarray(labels)))


def evaluate(
    artifact: Path,
    settings: Settings,
    inputs: Mapping[str, npt.NDArray[Any]],
    labels: npt.NDArray[np.integer],
) -> Accuracy:
    """Return how often the highest score of an artifact's first output is the label's.

    Args:
        artifact: A file of the target's runtime.
        settings: The target's.
        inputs: Samples as `answers` takes them.
        labels: Classes, (samples,), counted from 0.

    Raises:
        EdgemlError: The artifact cannot be run, or labels and samples differ in number.
    """
    outputs = answers(artifact, settings, inputs)
    scores = next(iter(outputs.values()))
    if len(scores) != len(labels):
        raise EdgemlError(
            f"{len(scores)} answers, {len(labels)} labels", where=str(artifact), mend="give one label a sample"
        )
    return Accuracy(int(right_answers(scores, labels).sum()), len(labels))
