"""What ladders stand on: one for each scheme, its ways to round tried once, its weights climbed once for all that agree."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from edgeml_bench.stacking import concatenate
from edgeml_compress.calibration import Calibration
from edgeml_compress.candidates import Rounding
from edgeml_compress.graph.running import Samples
from edgeml_compress.ladder.learned import EVERY, climb_learned
from edgeml_compress.ladder.roundings import Tried, try_observers
from edgeml_compress.ladder.trials import Judge, Trials
from edgeml_compress.ladder.weights import WeightForm, climb_weights
from edgeml_compress.layerwise.walk import asked_means
from edgeml_compress.recipe import Recipe
from edgeml_compress.source import CALIBRATION_FILE, CalibrationData, Source, reference_answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.stored import joined
from edgeml_targets.target import Target

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


class Ladders:
    """The ladders of one model: one for each scheme, made when it is first asked for.

    Args:
        source: The prepared, calibrated model.
        data: Its validation samples judge.
        max_drop: Points of accuracy that may be lost.
        progress: Told how many recipes were tried; the caller begins and ends the step.
    """

    def __init__(self, source: Source, data: CalibrationData, max_drop: float, progress: Progress = SILENT) -> None:
        self._source, self._data, self._max_drop, self._progress = source, data, max_drop, progress
        self._judge = _judge(source, data)
        self._wide = _wider(source, data.ranges, self._judge)
        self._known: dict[str, Ladder] = {}
        self._best, self._eased = _rounding(source.calibration), source.calibration.eased
        self._forms: dict[tuple[bool, tuple[int, ...]], WeightForm] = {}

    @property
    def calibration(self) -> Calibration:
        """The source's calibration, with the way to round that was the best of all under the first scheme, here or in an earlier
        run, and what passes asked of the samples: what a later run for another target begins with."""
        before, recipe = self._source.calibration, "" if self._best is None else self._best.recipe().to_toml()
        means = asked_means(self._source.model) or before.means
        return msgspec.structs.replace(before, rounding=recipe, eased=self._eased, means=means)

    def of(self, target: Target) -> Ladder:
        """Return the ladder of a target's scheme; the way to round that was best for the first scheme is tried before others."""
        key = target.scheme.model_dump_json()
        if key not in self._known:
            narrow = Trials(self._source, target.scheme, self._judge, self._max_drop, self._progress)
            tried, trials = tuple(try_observers(narrow, self._best)), narrow.judged_by(self._wide)
            if self._best is None and tried:
                self._best = tried[0].rounding
                self._eased = narrow.draft(Recipe("", self._best.before)).calibration.eased
            self._known[key] = Ladder(trials, tried, self._judge.count, functools.partial(self._form, trials))
        return self._known[key]

    def _form(self, trials: Trials) -> WeightForm:
        """Return how weights are best stored that are computed with in float; schemes that store them alike share it."""
        key = trials.scheme.weights_per_channel, trials.scheme.weight_blocks
        if key not in self._forms:
            found = climb_weights(trials)
            if not trials.holds(found.trial):
                unlearned = _wider(self._source, _unlearned(self._data.ranges), self._judge)
                found = climb_learned(trials.judged_by(unlearned)) or found
            self._forms[key] = found
        return self._forms[key]


def _rounding(calibration: Calibration) -> Rounding | None:
    """Return the way to round that a calibration was saved with; `None` where there is none that this version can read."""
    if not calibration.rounding:
        return None
    try:
        return Rounding.read(Recipe.from_toml(calibration.rounding, where=CALIBRATION_FILE))
    except (EdgemlError, ValueError, RecursionError):  # of another version, or damaged: all ways are tried anew
        return None


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
    samples = {name: joined(array, others[name]) for name, array in judge.samples.items()}
    reference = concatenate([judge.reference, reference_answers(source, others)])
    return Judge(samples, reference, None)


def _unlearned(ranges: Samples) -> Samples:
    """Return what no pass of the learned rung sees of the samples that drew ranges, as many as may judge."""
    return {
        name: array[np.flatnonzero(np.arange(len(array)) % EVERY)[:MOST_TOGETHER]] for name, array in ranges.items()
    }
