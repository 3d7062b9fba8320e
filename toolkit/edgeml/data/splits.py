"""Which sample goes into which split: decided by what the sample is, not by where it stands.

1. Samples with the same content are one unit, so that no content is in two splits.
2. Each class is shared out on its own, in the order of its units' keyed hashes; what rounding leaves is carried over to
   the next class, so that the shares are met over all classes, too.
3. What `edgeml data add` brings is shared out on its own: it moves no sample that was there before. What rounding leaves
   is carried over from addition to addition, so that many small ones meet the shares, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml.project import FRESH_SHARE, Splits

Indexes = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]

SPLITS: Final = ("train", "calibration", "validation", "test", "golden", "live", "fresh")
FRESH: Final = "fresh"
"""The split that only additions fill: it holds the challenger against the champion, and nothing is trained or chosen on it."""
_ORDER: Final = tuple(
    SPLITS.index(name) for name in ("golden", "test", "validation", "live", "calibration", FRESH, "train")
)


def share_out(digests: Digests, labels: npt.NDArray[np.int64], splits: Splits, seed: int) -> npt.NDArray[np.uint8]:
    """Return the split of each sample, as an index into `SPLITS`.

    Args:
        digests: A hash of each sample's content, (samples, bytes).
        labels: A class index each.
        splits: Shares of 1.
        seed: Draws the order.
    """
    shares = {name: float(getattr(splits, name)) for name in SPLITS if name != FRESH}
    return _share_out(digests, labels, shares, seed)[0]


def share_out_added(
    additions: Sequence[tuple[Digests, npt.NDArray[np.int64]]], splits: Splits, seed: int
) -> list[npt.NDArray[np.uint8]]:
    """Return the split of each added sample: train, calibration or fresh, never one that a model of before was judged on.

    Args:
        additions: Digests and labels of each, in the order in which they came.
        splits: The calibration split gets its share: integers' ranges must know the new world.
        seed: Draws the order.
    """
    rest = 1 - FRESH_SHARE
    calibration = min(splits.calibration, rest / 2)
    shares = {FRESH: FRESH_SHARE, "calibration": calibration, "train": rest - calibration}
    found, carried = [], None
    for digests, labels in additions:
        codes, carried = _share_out(digests, labels, shares, seed, carried)
        found.append(codes)
    return found


def _share_out(
    digests: Digests,
    labels: npt.NDArray[np.int64],
    shares: Mapping[str, float],
    seed: int,
    carried: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Return the splits, and how many samples each split was short of (in `_ORDER`), for what is shared out next."""
    codes, order = np.zeros(len(labels), np.uint8), _ORDER
    wanted = np.array([shares.get(SPLITS[code], 0.0) for code in order])
    units = _units(digests, labels)
    carried = np.zeros(len(order)) if carried is None else carried
    for label in np.unique(labels):
        members = sorted((u for u in units if labels[u[0]] == label), key=lambda u: _key(digests[u[0]], seed))
        quota = wanted * sum(len(unit) for unit in members) + carried
        given = _fill(members, np.maximum(quota, 0.0), codes, order)
        carried = quota - given
    return codes, carried


def _units(digests: Digests, labels: npt.NDArray[np.int64]) -> list[Indexes]:
    """Return the samples of each content; where their labels differ, those of the lowest label first."""
    by_content: dict[bytes, list[int]] = {}
    for i in np.argsort(labels, kind="stable").tolist():
        by_content.setdefault(digests[i].tobytes(), []).append(i)
    return [np.array(samples, np.int64) for samples in by_content.values()]


def _fill(
    members: Sequence[Indexes], quota: npt.NDArray[np.float64], codes: npt.NDArray[np.uint8], order: Sequence[int]
) -> npt.NDArray[np.float64]:
    """Give units to splits in turn, each as many samples as its quota rounds to, and return how many each got.

    The quotas sum to the number of samples but for what other classes carried over; the last split takes what is left.
    """
    given = np.zeros(len(order))
    limits = _rounded(quota, sum(len(unit) for unit in members))
    at = 0
    for unit in members:
        while at < len(order) - 1 and given[at] >= limits[at]:
            at += 1
        codes[unit] = order[at]
        given[at] += len(unit)
    return given


def _rounded(quota: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.float64]:
    """Return whole numbers that sum to `total`, each its quota rounded down or, where most is cut off, up."""
    scaled = quota * (total / quota.sum()) if quota.sum() > 0 else quota
    whole = np.floor(scaled + 1e-9)
    missing = round(total - whole.sum())
    whole[np.argsort(whole - scaled, kind="stable")[:missing]] += 1
    return whole


def _key(digest: npt.NDArray[np.uint8], seed: int) -> bytes:
    return hashlib.blake2b(digest.tobytes(), key=seed.to_bytes(8, "big", signed=True), digest_size=16).digest()
