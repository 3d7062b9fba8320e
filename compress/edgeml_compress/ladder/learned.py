"""Where no form of all weights holds that rounds to nearest: integers chosen by what enters the layers, bytes shared out again.

GPTQ takes two thirds and more of what 8 bits cost a layer whose inputs depend on each other, at no cost at run time. What is
still too loud is stored in half precision, and the few small weights that even half precision hurts stay in float32.

It learns from a part of the samples that set ranges, and the others judge, together with the validation samples. Where half
precision itself moves an answer, two are all but even, and any rounding at all may turn one into the other: such samples must
hold what is asked in the end, without the margin that is asked of the others.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml_compress.judging.choice import LEAST_COSINE as ASKED
from edgeml_compress.judging.fidelity import Answers, fidelity
from edgeml_compress.ladder.allotment import Allotments, Option, path
from edgeml_compress.ladder.loudness import loudness
from edgeml_compress.ladder.trials import LEAST_COSINE, Trials, compared
from edgeml_compress.ladder.weights import CHANNEL, FLOAT, HALF, WeightForm, add_integers, large_weights
from edgeml_compress.passes import gptq
from edgeml_compress.recipe import Step

EVERY: Final = 3  # samples that set ranges, one is learned from: few tell enough, and judges must be many
LEARNED: Final = (Step("gptq", gptq.Params(every=EVERY)),)
SAMPLES: Final = 4  # that single weights are tried on
SHARES: Final = (0.56, 0.6, 0.64, 0.7, 0.8, 0.95)
"""Of the bytes of half precision, that are tried, the fewest first: each try takes as long as GPTQ for the whole network. No
bisection: which of two answers that are nearly even wins does not depend on the bytes alone."""
STEADY: Final = 1 - (1 - LEAST_COSINE) / 4
"""The cosine below which half precision moves an answer: a quarter of all that integers may do. Its steps are some 26 times finer
than those of 8 bits in blocks of 32, so what is moved so far is no matter of the weights' precision."""
MOST_UNSTEADY: Final = 0.1  # of the samples: where there are more, it is not the samples


def climb_learned(trials: Trials) -> WeightForm | None:
    """Return the smallest form tried with integers that were learned with which the answers hold; `None`: none does that is
    smaller than half precision throughout.

    Args:
        trials: By a judge with none of the samples that are learned from, see `EVERY`.
    """
    steady = steady_samples(trials)
    allotments = _shared(trials)
    half = sum(2 * weight.values.size for weight in large_weights(trials).values())
    counts = (bisect.bisect_right(allotments.sizes_bytes, share * half) for share in SHARES)
    for count in sorted(set(counts) - {0}):
        form = _form(allotments[count - 1])
        got = trials.answers(trials.draft(form.recipe()))
        found = compared(trials.judge, got)
        margin = compared(trials.judge.only(steady), {name: array[steady] for name, array in got.items()})
        if trials.holds(margin) and (trials.judge.labels is not None or found.cosine >= ASKED):
            return replace(form, trial=found)
    return None


def steady_samples(trials: Trials) -> npt.NDArray[np.bool_]:
    """Return which samples half precision answers as float does, (samples,); with labels, or where many move, all."""
    judge = trials.judge
    if judge.labels is not None:
        return np.ones(judge.count, bool)
    got = trials.answers(trials.draft(WeightForm(HALF).recipe()))
    steady = np.array([_cosine(judge.reference, got, index) >= STEADY for index in range(judge.count)])
    return steady if (~steady).sum() <= MOST_UNSTEADY * judge.count else np.ones(judge.count, bool)


def _cosine(reference: Answers, got: Answers, index: int) -> float:
    """Return the worst cosine over the outputs of one sample; 1 where none can be judged."""
    expected, found = ({name: array[index : index + 1] for name, array in all_.items()} for all_ in (reference, got))
    worst = fidelity(expected, found).cosine_min
    return 1.0 if worst is None else worst


def _shared(trials: Trials) -> Allotments[int]:
    """Return how bytes can be shared out among the weights, from the fewest on."""
    known, few = large_weights(trials), trials.judge.first(SAMPLES).samples
    options = {name: [Option(FLOAT, 4.0 * weight.values.size, 0.0)] for name, weight in known.items()}
    halves = {name: weight.values.astype(np.float16).astype(np.float32) for name, weight in known.items()}
    for name, error in loudness(trials.source.model, halves, few).items():
        options[name].append(Option(HALF, 2.0 * known[name].values.size, error))
    for block in trials.scheme.weight_blocks or (CHANNEL,):
        add_integers(options, block, trials.draft(WeightForm(block, learned=LEARNED).recipe()), few)
    return path(options)


def _form(allotment: Mapping[str, int]) -> WeightForm:
    return WeightForm(FLOAT, {name: form for name, form in allotment.items() if form != FLOAT}, LEARNED)
