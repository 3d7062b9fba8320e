"""The first rung: all weights smaller, computed with in float. One scale a channel, else a block, else each as it deserves.

What holds on the validation samples is taken, the smallest first. Where neither one scale a channel nor blocks for all hold,
each weight alone is tried in each form, and the bytes are shared out (`allotment.py`) until the answers hold. How such a
form is written as a recipe stands here, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edgeml_compress.candidates import LEAST_VALUES, WEIGHT_ONLY
from edgeml_compress.graph.layers import Weight, weights
from edgeml_compress.graph.running import Samples
from edgeml_compress.ladder.allotment import Option, path
from edgeml_compress.ladder.loudness import loudness
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.layerwise.simulation import on_grid
from edgeml_compress.passes import Draft, halve_weights, quantize_weights
from edgeml_compress.recipe import Recipe, Step
from edgeml_targets.contract.encodings import Encoding

BITS: Final = 8
LEAST_SAMPLES: Final = 2  # that single weights are tried on
MOST_SAMPLES: Final = 16
WEIGHED_VALUES: Final = 4_000_000  # of weights, times samples: a small network is asked more often
HALF: Final = -1
"""In the place of a number of values that share a scale: half precision. 0 is one scale a channel."""
CHANNEL: Final = 0
FLOAT: Final = -2
"""The same, where a weight stays in float32."""
SCALE_BYTES: Final = {False: 4, True: 2}  # of a channel, of a block


@dataclass(frozen=True)
class WeightForm:
    """How weights are stored that are computed with in float.

    Args:
        block: Values that share a scale, `CHANNEL`, `HALF` or `FLOAT`.
        others: Weights by name that are stored in another form than `block`.
        learned: Passes that choose the integers by what enters the layers; empty: each number is rounded to nearest.
        trial: How it did on the validation samples; `None` when it was not tried.
    """

    block: int = CHANNEL
    others: Mapping[str, int] = field(default_factory=dict)
    learned: tuple[Step, ...] = ()
    trial: Trial | None = None

    def named(self, block: int) -> tuple[str, ...]:
        """Return the names of the weights that are stored in another form than most, in this one, sorted."""
        return tuple(sorted(name for name, other in self.others.items() if other == block))

    def steps(self, without: Collection[str] = ()) -> tuple[Step, ...]:
        """Return the passes that store weights so; a later pass stores those of `without` otherwise."""
        found = [] if self.block == FLOAT else [_step(self.block, None)]
        for block in sorted(set(self.others.values()) - {self.block}, reverse=True):
            names = tuple(name for name in self.named(block) if name not in without)
            found += [_step(block, names)] if names else []
        return (*found, *self.learned)

    def recipe(self) -> Recipe:
        """Return the candidate that this form makes by itself."""
        return Recipe(WEIGHT_ONLY, self.steps())


def climb_weights(trials: Trials) -> WeightForm:
    """Return the smallest form of all weights with which the answers hold; where none has integers, the last that was tried."""
    for block in (CHANNEL, *trials.scheme.weight_blocks[:1]):
        whole = _tried(trials, WeightForm(block))
        if trials.holds(whole.trial):
            return whole
    allotments = path(_options(trials))
    low, high = -1, len(allotments) - 1
    best = _tried(trials, _form(allotments[high]))
    while high - low > 1 and trials.holds(best.trial):
        middle = (low + high) // 2
        form = _tried(trials, _form(allotments[middle]))
        if trials.holds(form.trial):
            high, best = middle, form
        else:
            low = middle
    return whole if best.block == HALF and not best.others else best


def _options(trials: Trials) -> dict[str, list[Option[int]]]:
    """Return for each weight its forms, with what each takes and costs the answers when it alone is rounded so."""
    known = large_weights(trials)
    values = sum(weight.values.size for weight in known.values())
    few = trials.judge.first(samples_for(values)).samples
    found = {name: [Option(HALF, 2.0 * weight.values.size, 0.0)] for name, weight in known.items()}
    for block in (CHANNEL, *trials.scheme.weight_blocks):
        add_integers(found, block, trials.draft(WeightForm(block).recipe()), few)
    return found


def large_weights(trials: Trials) -> dict[str, Weight]:
    """Return by name the weights that are worth storing smaller."""
    return {name: weight for name, weight in weights(trials.source.model).items() if weight.values.size >= LEAST_VALUES}


def add_integers(options: Mapping[str, list[Option[int]]], block: int, draft: Draft, few: Samples) -> None:
    """Add to the options of each weight what a draft with all of them in the form `block` makes of it."""
    encodings, known = draft.encodings.tensors, weights(draft.model)
    rounded = {name: on_grid(encodings[name], known[name].values) for name in options}
    for name, error in loudness(draft.plain, rounded, few).items():
        options[name].append(Option(block, stored_bytes(known[name], encodings[name]), error))


def samples_for(values: int) -> int:
    """Return how many samples each layer alone is tried on in a network whose weights hold so many values."""
    return min(max(WEIGHED_VALUES // max(values, 1), LEAST_SAMPLES), MOST_SAMPLES)


def stored_bytes(weight: Weight, encoding: Encoding) -> int:
    """Return what a weight's integers of 8 bits and its scales take."""
    return weight.values.size + SCALE_BYTES[encoding.block is not None] * len(encoding.scale)


def _form(allotment: Mapping[str, int]) -> WeightForm:
    """Return an allotment as a form: what most weights have, and the others."""
    most = max(sorted(set(allotment.values())), key=list(allotment.values()).count)
    return WeightForm(most, {name: block for name, block in allotment.items() if block != most})


def _step(block: int, names: tuple[str, ...] | None) -> Step:
    if block == HALF:
        return Step("halve_weights", halve_weights.Params(least_values=LEAST_VALUES, names=names))
    params = quantize_weights.Params(bits=BITS, least_values=LEAST_VALUES, names=names, block=block or None)
    return Step("quantize_weights", params)


def _tried(trials: Trials, form: WeightForm) -> WeightForm:
    """Return a form with how it did."""
    return replace(form, trial=trials.trial(form.recipe()))
