"""Try a recipe out: make it in memory, run it over validation samples, and compare with the float model. No files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_bench import paired_drop
from edgeml_bench.accuracy import right_answers
from edgeml_compress.fidelity import Answers, fidelity, relative_error
from edgeml_compress.passes import Draft
from edgeml_compress.recipe import Recipe, apply
from edgeml_compress.running import Samples, open_session, run_each
from edgeml_compress.source import Labels, Source
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.exporters.onnx import write_graph
from edgeml_targets.target import Scheme

LEAST_COSINE: Final = 0.995  # on validation samples, so that .99 holds on others
LEAST_COSINE_OF_MANY: Final = 0.993  # the worst of so many lies nearer to the worst of all
MANY: Final = 72  # samples
FIRST_SHARE: Final = 4  # a quarter of the samples is run first: a recipe that fails on these is not run on the others
FAR_OFF: Final = 0.99  # a worst cosine on the first samples below which the rest is not needed to tell


@dataclass(frozen=True)
class Judge:
    """What recipes are judged on: validation samples, which set no range, and what the float model answers for them."""

    samples: Samples
    reference: Answers
    labels: Labels | None

    @property
    def count(self) -> int:
        """How many samples there are."""
        return min((len(array) for array in self.samples.values()), default=0)

    @property
    def least_cosine(self) -> float:
        """What the worst cosine must reach for a recipe to hold."""
        return LEAST_COSINE if self.count < MANY else LEAST_COSINE_OF_MANY

    def first(self, count: int) -> Judge:
        """Return a judge with the first samples alone."""
        return Judge(
            {name: array[:count] for name, array in self.samples.items()},
            {name: array[:count] for name, array in self.reference.items()},
            None if self.labels is None else self.labels[:count],
        )


@dataclass(frozen=True)
class Trial:
    """How a recipe did on the validation samples.

    Args:
        cosine: The worst over outputs and samples, -1 to 1; 1 where none could be judged.
        error: The root mean square of what the answers are off, over float's own, of the worst output.
        drop_points: Points of accuracy that were lost against float; `None` without labels.
        accuracy: The share of right answers, 0 to 1; `None` without labels.
    """

    cosine: float
    error: float
    drop_points: float | None = None
    accuracy: float | None = None


class Trials:
    """Tries recipes out for one scheme.

    Args:
        source: The prepared, calibrated model.
        scheme: How the target wants its integers.
        judge: What recipes are judged on.
        max_drop: Points of accuracy that may be lost.
        progress: Told how many were tried; the caller begins and ends the step.
    """

    def __init__(
        self, source: Source, scheme: Scheme, judge: Judge, max_drop: float, progress: Progress = SILENT
    ) -> None:
        self.source, self.scheme, self.judge, self.max_drop = source, scheme, judge, max_drop
        self.made, self._progress = 0, progress
        self._few = judge.first(-(-judge.count // FIRST_SHARE))

    def draft(self, recipe: Recipe) -> Draft:
        """Return what a recipe makes of the model."""
        return apply(recipe, self.source.draft(self.scheme))

    def trial(self, recipe: Recipe) -> Trial:
        """Return how a recipe does; where it is far off on the first samples, on these alone."""
        return self._tried(self.draft(recipe), self._few if self.judge.labels is None else self.judge)

    def whole(self, draft: Draft) -> Trial:
        """Return how a draft does on all samples, so that its error can be compared with another's."""
        return self._tried(draft, self.judge)

    def _tried(self, draft: Draft, first: Judge) -> Trial:
        self.made += 1
        self._progress.advance(self.made, self.made + 1, f"{self.made} tried")
        session = open_session(write_graph(draft.model, draft.encodings))
        if first.count < self.judge.count:
            early = compared(first, run(session, draft, first.samples))
            if early.cosine < FAR_OFF:
                return early
        return compared(self.judge, run(session, draft, self.judge.samples))

    def holds(self, trial: Trial | None) -> bool:
        """Tell whether what did so may be taken: within the budget with labels, else close enough to float."""
        if trial is None:
            return False
        if trial.drop_points is not None:
            return trial.drop_points <= self.max_drop
        return trial.cosine >= self.judge.least_cosine


def compared(judge: Judge, got: Answers) -> Trial:
    """Return how answers compare with the float model's."""
    worst = fidelity(judge.reference, got).cosine_min
    cosine, error = 1.0 if worst is None else worst, relative_error(judge.reference, got)
    if judge.labels is None:
        return Trial(cosine, error)
    name = next(iter(judge.reference))
    before, after = (right_answers(answers[name], judge.labels) for answers in (judge.reference, got))
    return Trial(cosine, error, paired_drop(before, after).points, float(after.mean()))


def run(session: object, draft: Draft, samples: Samples) -> dict[str, npt.NDArray[np.generic]]:
    """Return every output of an ONNX Runtime session for all samples, stacked on the first axis, one sample a run."""
    return run_each(session, draft.model, samples)
