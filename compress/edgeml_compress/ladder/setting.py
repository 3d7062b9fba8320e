"""What ladders stand on: one for each scheme, its ways to round tried once, its weights climbed once for all that agree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeml_bench.stacking import concatenate
from edgeml_compress.graph.running import Samples
from edgeml_compress.ladder.learned import EVERY, climb_learned
from edgeml_compress.ladder.roundings import Tried, try_observers
from edgeml_compress.ladder.trials import Judge, Trials
from edgeml_compress.ladder.weights import WeightForm, climb_weights
from edgeml_compress.source import CalibrationData, Source, reference_answers
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.target import Scheme, Target

MOST_LABELLED: Final = 256  # labelled validation samples that choices on the way are judged on
MOST_UNLABELLED: Final = 48  # without labels: the worst cosine of more tells little else
WEIGHED_VALUES: Final = 100_000_000  # of weights, times samples: a small network answers more in the same time
LEAST_TOGETHER: Final = 72
MOST_TOGETHER: Final = 192
"""Samples that a candidate must hold on, those that drew ranges besides: what fails on these fails on others, too. Of
silero-vad's sequence network, int8 weights in blocks had a worst cosine of 0.997 on 24 samples and 0.977 on 48 others; of
magika, full int8 0.995 on 24 and 0.001 on 48 others."""


@dataclass(frozen=True)
class Ladder:
    """One scheme's ladder.

    Args:
        trials: Tries recipes out, on all samples that may judge.
        tried: The ways to round, best first, by the samples that drew no ranges.
        validated: How many samples that is.
        form: Returns how weights are best stored that are computed with in float; climbs when it is first asked.
    """

    trials: Trials
    tried: tuple[Tried, ...]
    validated: int
    form: Callable[[], WeightForm]


def scheme_of(target: Target) -> str:
    """Return what targets of one ladder have in common, as a key."""
    return target.scheme.model_dump_json()


def set_up(
    source: Source, data: CalibrationData, targets: Sequence[Target], max_drop: float, progress: Progress = SILENT
) -> dict[str, Ladder]:
    """Return a ladder for each scheme of the targets, by `scheme_of`.

    Args:
        source: The prepared, calibrated model.
        data: Its validation samples judge.
        targets: Whose schemes.
        max_drop: Points of accuracy that may be lost.
        progress: Told how many recipes were tried; the caller begins and ends the step.
    """
    judge = _judge(source, data)
    wide = _wider(source, data.ranges, judge)

    @functools.cache
    def form(stored: tuple[bool, tuple[int, ...]]) -> WeightForm:
        like = next(t.scheme for t in targets if _weights_of(t.scheme) == stored)
        by_all = Trials(source, like, wide, max_drop, progress)
        found = climb_weights(by_all)
        if by_all.holds(found.trial):
            return found
        return climb_learned(by_all.judged_by(_wider(source, _unlearned(data.ranges), judge))) or found

    found: dict[str, Ladder] = {}
    for target in targets:
        if scheme_of(target) not in found:
            narrow = Trials(source, target.scheme, judge, max_drop, progress)
            before = next((ladder.tried[0] for ladder in found.values() if ladder.tried), None)
            tried = try_observers(narrow, before)
            climbs = functools.partial(form, _weights_of(target.scheme))
            found[scheme_of(target)] = Ladder(narrow.judged_by(wide), tuple(tried), judge.count, climbs)
    return found


def _weights_of(scheme: Scheme) -> tuple[bool, tuple[int, ...]]:
    """Return what of a scheme decides how weights are stored that are computed with in float."""
    return scheme.weights_per_channel, scheme.weight_blocks


def _judge(source: Source, data: CalibrationData) -> Judge:
    most = MOST_UNLABELLED if data.validation_labels is None else MOST_LABELLED
    few = {name: array[:most] for name, array in data.validation.items()}
    labels = None if data.validation_labels is None else data.validation_labels[:most]
    return Judge(few, reference_answers(source, few), labels)


def _wider(source: Source, drew_ranges: Samples, judge: Judge) -> Judge:
    """Return a judge with samples that drew ranges besides, where no labels are asked for."""
    together = min(max(WEIGHED_VALUES // max(source.parameters, 1), LEAST_TOGETHER), MOST_TOGETHER)
    more = min(together - judge.count, *(len(array) for array in drew_ranges.values()))
    if judge.labels is not None or more <= 0:
        return judge
    others = {name: drew_ranges[name][:more] for name in judge.samples}
    reference = concatenate([judge.reference, reference_answers(source, others)])
    return Judge(concatenate([judge.samples, others]), reference, None)


def _unlearned(ranges: Samples) -> Samples:
    """Return what no pass of the learned rung sees of the samples that drew ranges, as many as may judge."""
    return {
        name: array[np.flatnonzero(np.arange(len(array)) % EVERY)[:MOST_TOGETHER]] for name, array in ranges.items()
    }
