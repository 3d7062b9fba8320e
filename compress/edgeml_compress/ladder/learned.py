"""Where no form of all weights holds that rounds to nearest: integers chosen by what enters the layers, bytes shared out again.

GPTQ takes two thirds and more of what 8 bits cost a layer whose inputs depend on each other, at no cost at run time. What is
still too loud is stored in half precision, and the few small weights that even half precision hurts stay in float32.

It learns from a part of the samples that set ranges, and the others judge, together with the validation samples. Those that
half precision itself answers otherwise are left out: there two answers are all but even, and any rounding at all may turn
one into the other.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Final

import numpy as np

from edgeml_compress.judging.fidelity import Answers, fidelity
from edgeml_compress.ladder.allotment import Allotments, Option, path
from edgeml_compress.ladder.loudness import loudness
from edgeml_compress.ladder.trials import LEAST_COSINE, Judge, Trials
from edgeml_compress.ladder.weights import CHANNEL, FLOAT, HALF, WeightForm, add_integers, large_weights, tried
from edgeml_compress.passes import gptq
from edgeml_compress.recipe import Step

EVERY: Final = 3  # samples that set ranges, one is learned from: few tell enough, and judges must be many
LEARNED: Final = (Step("gptq", gptq.Params(every=EVERY)),)
SAMPLES: Final = 4  # that single weights are tried on
SHARES: Final = (0.56, 0.6, 0.64, 0.7, 0.8, 0.95)
"""Of the bytes of half precision, that are tried, the fewest first: each try takes as long as GPTQ for the whole network. No
bisection: which of two answers that are nearly even wins does not depend on the bytes alone."""
MOST_UNSTEADY: Final = 0.1  # of the samples: where there are more, it is not the samples


def climb_learned(trials: Trials) -> WeightForm | None:
    """Return the smallest form tried with integers that were learned with which the answers hold; `None`: none does that is
    smaller than half precision throughout.

    Args:
        trials: By a judge with none of the samples that are learned from, see `EVERY`.
    """
    steady = trials.judged_by(steady_judge(trials))
    allotments, sizes = _shared(steady)
    half = sum(2 * weight.values.size for weight in large_weights(trials).values())
    counts = (bisect.bisect_right(sizes, share * half) for share in SHARES)
    forms = (tried(steady, _form(allotments[count - 1])) for count in sorted(set(counts)) if count)
    found = next((form for form in forms if steady.holds(form.trial)), None)
    trials.made = steady.made
    return found


def steady_judge(trials: Trials) -> Judge:
    """Return the judge without the samples that half precision answers otherwise; with labels, or where many are, with all."""
    judge = trials.judge
    if judge.labels is not None:
        return judge
    got = trials.answers(trials.draft(WeightForm(HALF).recipe()))
    steady = np.array([_cosine(judge.reference, got, index) >= LEAST_COSINE for index in range(judge.count)])
    return judge.only(steady) if (~steady).sum() <= MOST_UNSTEADY * judge.count else judge


def _cosine(reference: Answers, got: Answers, index: int) -> float:
    """Return the worst cosine over the outputs of one sample; 1 where none can be judged."""
    expected, found = ({name: array[index : index + 1] for name, array in all_.items()} for all_ in (reference, got))
    worst = fidelity(expected, found).cosine_min
    return 1.0 if worst is None else worst


def _shared(trials: Trials) -> tuple[Allotments[int], list[float]]:
    """Return how bytes can be shared out among the weights, from the fewest on, and what each takes, in bytes."""
    known, few = large_weights(trials), trials.judge.first(SAMPLES).samples
    options = {name: [Option(FLOAT, 4.0 * weight.values.size, 0.0)] for name, weight in known.items()}
    halves = {name: weight.values.astype(np.float16).astype(np.float32) for name, weight in known.items()}
    for name, error in loudness(trials.source.model, halves, few).items():
        options[name].append(Option(HALF, 2.0 * known[name].values.size, error))
    for block in trials.scheme.weight_blocks or (CHANNEL,):
        add_integers(options, block, trials.draft(WeightForm(block, learned=LEARNED).recipe()), few)
    taken = {(name, option.form): option.size_bytes for name, found in options.items() for option in found}
    allotments = path(options)
    return allotments, [sum(taken[one] for one in allotment.items()) for allotment in allotments]


def _form(allotment: Mapping[str, int]) -> WeightForm:
    return WeightForm(FLOAT, {name: form for name, form in allotment.items() if form != FLOAT}, LEARNED)
