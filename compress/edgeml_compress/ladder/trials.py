"""Try a recipe out: make it in memory, run it over validation samples, and compare with the float model. No files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_bench import paired_drop
from edgeml_bench.accuracy import right_answers
from edgeml_bench.stacking import concatenate
from edgeml_compress.graph.running import Samples, open_session, run_each
from edgeml_compress.judging.fidelity import Answers, fidelity, relative_error
from edgeml_compress.ladder.drafts import Drafts
from edgeml_compress.passes import Draft
from edgeml_compress.recipe import Recipe
from edgeml_compress.source import Labels, Source
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.exporters.onnx import write_graph
from edgeml_targets.target import Scheme

LEAST_COSINE: Final = 0.995  # on validation samples, so that .99 holds on others
PARTS: Final = 6  # that samples are run in: a recipe that fails on the first is not run on the others
SWING: Final = 0.001  # of the worst cosine that more samples may still make good, where an output is stacked over them


@dataclass(frozen=True)
class Judge:
    """What recipes are judged on: samples, and what the float model answers for them. Which samples, `setting.py` says."""

    samples: Samples
    reference: Answers
    labels: Labels | None

    @property
    def count(self) -> int:
        """How many samples there are."""
        return min((len(array) for array in self.samples.values()), default=0)

    def first(self, count: int) -> Judge:
        """Return a judge with the first samples alone."""
        return Judge(
            {name: array[:count] for name, array in self.samples.items()},
            {name: array[:count] for name, array in self.reference.items()},
            None if self.labels is None else self.labels[:count],
        )

    def only(self, chosen: npt.NDArray[np.bool_]) -> Judge:
        """Return a judge with some of the samples, (samples,)."""
        return Judge(
            {name: array[chosen] for name, array in self.samples.items()},
            {name: array[chosen] for name, array in self.reference.items()},
            None if self.labels is None else self.labels[chosen],
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
        self._drafts = Drafts(source, scheme)

    def draft(self, recipe: Recipe) -> Draft:
        """Return what a recipe makes of the model; what recipes begin with alike is made once."""
        return self._drafts.of(recipe)

    def trial(self, recipe: Recipe) -> Trial:
        """Return how a recipe does; where it fails on the first samples, on these alone."""
        draft = self.draft(recipe)
        session = self._session(draft)
        if self.judge.labels is not None:
            return compared(self.judge, run(session, draft, self.judge.samples))
        got: list[Answers] = []
        found = Trial(1.0, 0.0)
        for first, last in pairwise(np.linspace(0, self.judge.count, PARTS + 1).round().astype(int).tolist()):
            got.append(run(session, draft, {name: array[first:last] for name, array in self.judge.samples.items()}))
            found = compared(self.judge.first(last), concatenate(got))
            if found.cosine < LEAST_COSINE - SWING:
                break
        return found

    def whole(self, draft: Draft) -> Trial:
        """Return how a draft does on all samples, so that its error can be compared with another's."""
        return compared(self.judge, self.answers(draft))

    def answers(self, draft: Draft) -> Answers:
        """Return what a draft answers for all samples."""
        return run(self._session(draft), draft, self.judge.samples)

    def judged_by(self, judge: Judge) -> Trials:
        """Return trials by another judge, of drafts that were made already where they were."""
        others = Trials(self.source, self.scheme, judge, self.max_drop, self._progress)
        others.made, others._drafts = self.made, self._drafts
        return others

    def _session(self, draft: Draft) -> Any:
        self.made += 1
        self._progress.advance(self.made, self.made + 1, f"{self.made} tried")
        return open_session(write_graph(draft.model, draft.encodings))

    def holds(self, trial: Trial | None) -> bool:
        """Tell whether what did so may be taken: within the budget with labels, else close enough to float."""
        if trial is None:
            return False
        if trial.drop_points is not None:
            return trial.drop_points <= self.max_drop
        return trial.cosine >= LEAST_COSINE


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
