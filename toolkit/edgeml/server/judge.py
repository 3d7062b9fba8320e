"""Judge a span of windows against the reference of the release that made them. Pure: no store, no clock.

The effect of a feature is the population stability index over some ten groups of equal mass, less what chance alone
would give. Under no drift the index is about (1/n + 1/m) times a chi-square with groups - 1 degrees of freedom, for n
answers and a reference of m samples (Yurdakul and Naranjo 2020, doi:10.21314/JRMV.2020.227), so its mean and its
deviation are known, and a small span is not taken for drift: uncorrected, 0.1 is passed by 37 % of quiet spans of 100.

The limit is the highest of three: the project's threshold; three deviations; and, once a release has a history, twice
the worst that its own first quiet spans showed, though no more than twice the first two: else a slow drift would raise
its own limit.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.project import Fleet
from edgeml_agent.messages import Window
from edgeml_targets.contract.histogram import Histogram
from edgeml_targets.contract.reference import Reference

GROUPS: Final = 10
DEVIATIONS: Final = 3.0
LEAST_HISTORY: Final = 5  # quiet spans before they say anything about the next
MOST_HISTORY: Final = 20
HISTORY_FACTOR: Final = 2.0
DISTANCE: Final = "distance"
CONFIDENCE: Final = "confidence"
CLASSES: Final = "classes"
UNKNOWN: Final = "unknown"
_PRIOR: Final = 0.5  # added to each group's count: an empty group is rare, not impossible (Jeffreys)

References = Mapping[str, Reference]
"""A release's reference a target."""


class Effect(msgspec.Struct, frozen=True):
    """How far one feature is from its reference, and how far is too far; both as a bias-corrected stability index."""

    effect: float
    limit: float

    @property
    def ratio(self) -> float:
        """The effect as a multiple of its limit: above 1 is a hit."""
        return self.effect / self.limit


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a span showed.

    Args:
        windows, answers: How much it rests on.
        effects: Per feature, `distance`, `confidence` and `classes`; features without two groups are left out.
        unknown_share: The share of inputs farther out than the threshold, 0 to 1.
        unknown_limit: The share above which it counts as drift.
    """

    windows: int
    answers: int
    effects: dict[str, Effect]
    unknown_share: float
    unknown_limit: float

    @property
    def hits(self) -> frozenset[str]:
        """What is over its limit; the unknown share is called `unknown`."""
        over = {name for name, effect in self.effects.items() if effect.ratio > 1}
        return frozenset(over | ({UNKNOWN} if self.unknown_share > self.unknown_limit else set()))

    @property
    def worst(self) -> str:
        """The feature with the largest effect over its limit."""
        return max(self.effects, key=lambda name: self.effects[name].ratio)

    @property
    def verdict(self) -> str:
        """`drifted` when anything is over its limit, else `quiet`; two spans in a row make an alarm, see `alarming`."""
        return "drifted" if self.hits else "quiet"


def judge(
    windows: Sequence[Window], references: References, history: Sequence[Mapping[str, Effect]], fleet: Fleet
) -> Judgement:
    """Judge windows of one release together, over whatever devices and targets they come from.

    Args:
        windows: With `answers` above 0; one that is not in the bins of its reference is left out, see `fits`.
        references: The reference of every target among the windows.
        history: The effects of the release's quiet spans, oldest first.
        fleet: The project's thresholds.

    Raises:
        ValueError: No window fits its reference.
    """
    fitting = [w for w in windows if w.target in references and fits(w, references[w.target])]
    if not fitting:
        raise ValueError("no window fits its reference")
    answers = sum(w.answers for w in fitting)
    observed, expected, samples = _pooled(fitting, references)
    effects = {}
    for name in observed:
        groups = group(expected[name])
        found = effect_of(_summed(observed[name], groups), _summed(expected[name], groups), samples)
        if found is not None:
            effect, deviation = found
            floor = max(fleet.drift_threshold, DEVIATIONS * deviation)
            effects[name] = Effect(effect, max(floor, HISTORY_FACTOR * min(floor, _worst(name, history))))
    unknown = sum(w.unknown for w in fitting) / answers
    return Judgement(
        windows=len(fitting), answers=answers, effects=effects, unknown_share=unknown, unknown_limit=fleet.unknown_limit
    )


def alarming(newest_first: Sequence[frozenset[str]], hits: int) -> frozenset[str]:
    """Return what was over its limit in each of the last `hits` spans: the same feature, time and again, is no chance.

    Example:
        >>> sorted(alarming([frozenset({"noise", "contrast"}), frozenset({"noise"}), frozenset()], 2))
        ['noise']
    """
    if len(newest_first) < hits:
        return frozenset()
    return functools.reduce(frozenset.intersection, newest_first[:hits])


def fits(window: Window, reference: Reference) -> bool:
    """Say whether a window was counted in the bins of `reference`: one that was not can only be misread."""
    pairs = [(window.distance, reference.distance), (window.confidence, reference.confidence)]
    pairs += [(window.features.get(name, Histogram()), kept) for name, kept in reference.features.items()]
    same = all(_bins(counted) == _bins(kept) for counted, kept in pairs)
    return same and window.answers > 0 and len(window.classes) == len(reference.classes)


def group(reference: npt.NDArray[np.floating]) -> list[slice]:
    """Return neighbouring bins as groups of at least a tenth of the reference's mass each; at least one group."""
    edges, mass, target = [0], 0.0, float(reference.sum()) / GROUPS
    for i, count in enumerate(reference):
        mass += float(count)
        if mass >= target * (1 - 1e-9):
            edges.append(i + 1)
            mass = 0.0
    edges[-1] = len(reference)  # what is left over is too little for a group of its own
    if len(edges) == 1:
        edges = [0, len(reference)]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def effect_of(
    observed: npt.NDArray[np.floating], expected: npt.NDArray[np.floating], samples: float
) -> tuple[float, float] | None:
    """Return the bias-corrected stability index of grouped counts, and its standard deviation under no drift.

    Args:
        observed: Counts of a span, a group each.
        expected: Counts of the reference, a group each, in any unit.
        samples: How many samples the reference rests on.

    Returns:
        `None` where there are fewer than two groups, or nothing was counted.
    """
    groups, answers = len(expected), float(observed.sum())
    if groups < 2 or answers == 0:
        return None
    now = (observed + _PRIOR) / (answers + _PRIOR * groups)
    then = (expected / expected.sum() * samples + _PRIOR) / (samples + _PRIOR * groups)
    index = float(np.sum((now - then) * np.log(now / then)))
    noise = 1 / answers + 1 / samples
    return index - (groups - 1) * noise, math.sqrt(2 * (groups - 1)) * noise


def _pooled(
    windows: Sequence[Window], references: References
) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, npt.NDArray[np.float64]], float]:
    """Return what was observed and what was to be expected, in the same bins, and how many samples the latter rests on.

    Artifacts of one release answer a little differently, so each target's answers are held against its own reference:
    the expectation is the references' mixture, in the shares of the answers. They come from the same validation
    samples, so the mixture rests on no more samples than one of them.
    """
    parts: dict[str, list[Window]] = {}
    for window in windows:
        parts.setdefault(window.target, []).append(window)
    names = [*next(iter(references[t] for t in parts)).features, DISTANCE, CONFIDENCE, CLASSES]
    observed, expected = {}, {}
    for name in names:
        counted = [(_counts(sum_of, name), _expected(references[t], name)) for t, sum_of in parts.items()]
        if len({len(now) for now, _ in counted}) > 1 or len({_bins_of(references[t], name) for t in parts}) > 1:
            continue  # targets whose inputs differ have no bins in common; each device's own view still judges it
        observed[name] = np.sum([now for now, _ in counted], axis=0)
        expected[name] = np.sum([now.sum() * then / max(then.sum(), 1) for now, then in counted], axis=0)
    return observed, expected, min(references[t].samples for t in parts)


def _counts(windows: Sequence[Window], name: str) -> npt.NDArray[np.float64]:
    return np.asarray(np.sum([np.asarray(_counted(w, name), np.float64) for w in windows], axis=0))


def _counted(window: Window, name: str) -> Sequence[int]:
    if name == CLASSES:
        return window.classes
    if name in (DISTANCE, CONFIDENCE):
        return window.distance.counts if name == DISTANCE else window.confidence.counts
    return window.features[name].counts


def _expected(reference: Reference, name: str) -> npt.NDArray[np.float64]:
    if name == CLASSES:
        return np.asarray(reference.classes, np.float64)
    return np.asarray(_histogram(reference, name).counts, np.float64)


def _bins_of(reference: Reference, name: str) -> tuple[int, int, int]:
    return (0, 0, len(reference.classes)) if name == CLASSES else _bins(_histogram(reference, name))


def _histogram(reference: Reference, name: str) -> Histogram:
    if name in (DISTANCE, CONFIDENCE):
        return reference.distance if name == DISTANCE else reference.confidence
    return reference.features[name]


def _bins(histogram: Histogram) -> tuple[int, int, int]:
    return histogram.exponent, histogram.first, len(histogram.counts)


def _summed(counts: npt.NDArray[np.float64], groups: Sequence[slice]) -> npt.NDArray[np.float64]:
    return np.asarray([counts[g].sum() for g in groups])


def _worst(name: str, history: Sequence[Mapping[str, Effect]]) -> float:
    """Return the largest effect of a release's first quiet spans, 0 while they are too few."""
    seen = [effects[name].effect for effects in history[:MOST_HISTORY] if name in effects]
    return max(seen) if len(seen) >= LEAST_HISTORY else 0.0
