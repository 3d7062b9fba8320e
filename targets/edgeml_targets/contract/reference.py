"""What an artifact knows: features of its inputs, their reference histograms, and a score of how far an input is from them.

The host fits a `Reference` on samples that the network was not trained on; a device and the server count with the same
code, so that a window and its reference can be compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.histogram import Histogram, histogram

Floats = npt.NDArray[np.float32]

FEATURE_BINS: Final = 32
MOST_COLUMNS: Final = 10  # of a table: so many features fit a window's 4 kB
FLAGGED_SHARE: Final = 0.05  # of the reference samples: what the threshold of the score lets through as unknown
SIGNAL_FEATURES: Final = ("brightness", "contrast", "sharpness", "noise", "roughness")
_FLOOR: Final = 1e-4  # below it a logarithm says nothing more


class KnownInputs(msgspec.Struct, frozen=True):
    """A Gaussian of the reference samples' features, and the distance from it up to which an input is known.

    Args:
        centre: The features' mean.
        precision: The inverse of their covariance, row by row.
        threshold: The Mahalanobis distance above which an input is unknown.

    Source: Lee et al. 2018, arXiv:1807.03888, here on features of the input instead of a layer's.
    """

    centre: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    threshold: float

    def distance(self, features: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the Mahalanobis distance of each row of `features` (samples, features), 0 or more."""
        off = np.asarray(features, np.float64) - np.asarray(self.centre)
        return np.asarray(np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", off, np.asarray(self.precision), off), 0.0)))


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """How inputs and answers looked where the artifact was judged.

    Args:
        samples: How many samples it rests on.
        smooth_axes: Axes along which neighbours resemble each other, counted from the last; empty for a table.
        features: A histogram a feature; windows are counted in its bins.
        distance: The histogram of the distances to what is known.
        confidence: The histogram of the highest probability, 0 to 1.
        classes: How often each class was answered.
        known: The score of how far an input is from what is known.
    """

    samples: int
    smooth_axes: tuple[int, ...]
    features: dict[str, Histogram]
    distance: Histogram
    confidence: Histogram
    classes: tuple[int, ...]
    known: KnownInputs


def feature_names(smooth_axes: Sequence[int], columns: int) -> tuple[str, ...]:
    """Return the features' names: five of a signal or image, or a table's first columns."""
    return SIGNAL_FEATURES if smooth_axes else tuple(f"column {i}" for i in range(min(columns, MOST_COLUMNS)))


def features(batch: npt.NDArray[np.floating], smooth_axes: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the features of each sample, (samples, features), in the order of `feature_names`.

    Args:
        batch: Inputs as the network is fed, (samples, ...).
        smooth_axes: See `Reference`.

    Of a signal: mean, standard deviation, and three in log10: root mean square of the first differences (edges), of the
    second mixed differences (noise; Immerkaer 1996), and of the edges over the deviation, which no change of contrast moves.
    """
    flat = np.asarray(batch, np.float64).reshape(len(batch), -1)
    if not smooth_axes:
        return flat[:, :MOST_COLUMNS]
    values = np.asarray(batch, np.float64)
    firsts = [np.diff(values, axis=axis) for axis in smooth_axes]
    edges = np.sqrt(np.mean([_mean_square(first) for first in firsts], axis=0))
    second = firsts[0]
    for axis in (*smooth_axes[1:], *smooth_axes):
        second = np.diff(second, axis=axis) if second.shape[axis] > 1 else second
    deviation = flat.std(1)
    return np.stack(
        [flat.mean(1), deviation, _log(edges), _log(np.sqrt(_mean_square(second))), _log(edges / (deviation + _FLOOR))],
        axis=1,
    )


def fit(
    batch: npt.NDArray[np.floating], probabilities: npt.NDArray[np.floating], smooth_axes: Sequence[int]
) -> Reference:
    """Return the reference of an artifact from samples it was not trained on.

    Args:
        batch: Inputs as the network is fed, (samples, ...), 2 or more.
        probabilities: What the artifact answered, (samples, classes), rows that sum to 1.
        smooth_axes: See `Reference`.

    Raises:
        ValueError: There are fewer than 2 samples.
    """
    if len(batch) < 2:
        raise ValueError("a reference needs 2 samples or more")
    rows = features(batch, smooth_axes)
    names = feature_names(smooth_axes, rows.shape[1])
    covariance = np.cov(rows, rowvar=False).reshape(len(names), len(names))
    covariance += np.eye(len(names)) * max(1e-6 * float(np.trace(covariance)) / len(names), 1e-12)
    precision = np.linalg.inv(covariance)
    known = KnownInputs(_row(rows.mean(0)), tuple(_row(r) for r in precision), 0.0)
    distance = known.distance(rows)
    threshold = float(np.quantile(distance, 1 - FLAGGED_SHARE, method="higher"))
    top = probabilities.argmax(1)
    return Reference(
        samples=len(batch),
        smooth_axes=tuple(smooth_axes),
        features={name: histogram(rows[:, i], bins=FEATURE_BINS) for i, name in enumerate(names)},
        distance=histogram(distance, bins=FEATURE_BINS),
        confidence=_confidences(probabilities.max(1)),
        classes=tuple(int(c) for c in np.bincount(top, minlength=probabilities.shape[1])),
        known=msgspec.structs.replace(known, threshold=threshold),
    )


def probabilities(outputs: npt.NDArray[np.floating]) -> Floats:
    """Return a classifier's outputs (samples, classes) as probabilities; logits go through a softmax, probabilities stay."""
    scores = np.asarray(outputs, np.float64)
    if scores.min(initial=0.0) >= 0 and np.allclose(scores.sum(1), 1, atol=1e-2):
        return scores.astype(np.float32)
    risen = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(risen / risen.sum(1, keepdims=True), np.float32)


def _confidences(top: npt.NDArray[np.floating]) -> Histogram:
    """Count confidences in 32 bins over 0 to 1 whatever their range, since windows reach where a reference did not."""
    indexes = np.minimum((np.asarray(top, np.float64) * FEATURE_BINS).astype(int), FEATURE_BINS - 1)
    return Histogram(-5, 0, tuple(int(c) for c in np.bincount(indexes, minlength=FEATURE_BINS)))


def _mean_square(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.square(values.reshape(len(values), -1)).mean(1))


def _log(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log10(np.maximum(values, _FLOOR)))


def _row(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
