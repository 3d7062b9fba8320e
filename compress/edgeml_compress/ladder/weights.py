"""The first rung: all weights smaller, computed with in float. One scale a channel, else a block, else each as it deserves.

What holds on the validation samples is taken, the smallest first. Where neither one scale a channel nor blocks for all hold,
each weight alone is tried in each form, and the bytes are shared out (`allotment.py`) until the answers hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from edgeml_compress.candidates import LEAST_VALUES, WEIGHT_ONLY
from edgeml_compress.graph.layers import Weight, weights
from edgeml_compress.ladder.allotment import Option, path
from edgeml_compress.ladder.loudness import loudness
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.passes import halve_weights, quantize_weights
from edgeml_compress.recipe import Recipe, Step
from edgeml_targets.contract.encodings import Encoding

BITS: Final = 8
LEAST_SAMPLES: Final = 2  # that single weights are tried on
MOST_SAMPLES: Final = 16
WEIGHED_VALUES: Final = 4_000_000  # of weights, times samples: a small network is asked more often
HALF: Final = -1
"""In the place of a number of values that share a scale: half precision. 0 is one scale a channel."""
CHANNEL: Final = 0
SCALE_BYTES: Final = {False: 4, True: 2}  # of a channel, of a block


@dataclass(frozen=True)
class WeightForm:
    """How weights are stored that are computed with in float.

    Args:
        block: Values that share a scale, `CHANNEL`, or `HALF`.
        others: Weights by name that are stored in another form than `block`.
        trial: How it did on the validation samples; `None` when it was not tried.
    """

    block: int = CHANNEL
    others: Mapping[str, int] = field(default_factory=dict)
    trial: Trial | None = None

    def named(self, block: int) -> tuple[str, ...]:
        """Return the names of the weights that are stored in another form than most, in this one, sorted."""
        return tuple(sorted(name for name, other in self.others.items() if other == block))

    def steps(self, without: Collection[str] = ()) -> tuple[Step, ...]:
        """Return the passes that store weights so; a later pass stores those of `without` otherwise."""
        found = [_step(self.block, None)]
        for block in sorted(set(self.others.values()) - {self.block}, reverse=True):
            names = tuple(name for name in self.named(block) if name not in without)
            found += [_step(block, names)] if names else []
        return tuple(found)

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
    model = trials.source.model
    known = {name: weight for name, weight in weights(model).items() if weight.values.size >= LEAST_VALUES}
    values = sum(weight.values.size for weight in known.values())
    few = trials.judge.first(samples_for(values)).samples
    found: dict[str, list[Option[int]]] = {name: [Option(HALF, 2.0 * w.values.size, 0.0)] for name, w in known.items()}
    for block in (CHANNEL, *trials.scheme.weight_blocks):
        encodings = trials.draft(WeightForm(block).recipe()).encodings.tensors
        for name, error in loudness(model, known, encodings, few).items():
            found[name].append(Option(block, stored_bytes(known[name], encodings[name]), error))
    return found


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
    return WeightForm(form.block, form.others, trials.trial(form.recipe()))
