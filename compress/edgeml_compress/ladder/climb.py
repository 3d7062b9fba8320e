"""Climb the ladder for one target: which candidates it is worth making.

1. Full int8, as well rounded as the cheap choices allow. It ends here where that holds and is faster than float.
2. Else the weights alone, in the smallest form that holds.
3. And, on top of that, the layers in integers that hold, where a clock says that they pay. Not where the weights had to be
   learned: an activation of 8 bits is off by more than they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgeml_compress.candidates import Rounding, recipes
from edgeml_compress.judging.sensitivity import sensitivity
from edgeml_compress.ladder.clock import Clock
from edgeml_compress.ladder.layers import Mixture, climb_layers, mixture
from edgeml_compress.ladder.roundings import DEFAULT_OBSERVER, WORTH_IT, Tried, best
from edgeml_compress.ladder.setting import Ladder
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.ladder.weights import WeightForm, samples_for
from edgeml_compress.recipe import Recipe
from edgeml_compress.results import LayerSensitivity

CLEARLY: Final = 0.9  # of float's time, when scouted: then full int8 is faster for sure
ENOUGH: Final = 0.4  # of the layers in integers: then no other way to round is tried


@dataclass(frozen=True)
class Climbed:
    """What the ladder came to.

    Args:
        recipes: Of the candidates, the one that changes most first.
        tried: The ways to round, best first; empty where none could be tried.
        form: How weights that are computed with in float are stored; `None`: the ladder ended before.
        mixture: The layers in integers that pay; `None`: none do, or the ladder ended before.
        slow: The mixture that held but was no faster than what it stands on, by the number of its layers; 0 without.
        trials: How many recipes were tried.
        costs: What each layer costs alone, the quietest first; empty where the ladder ended before it was asked.
    """

    recipes: tuple[Recipe, ...]
    tried: tuple[Tried, ...]
    form: WeightForm | None = None
    mixture: Mixture | None = None
    slow: int = 0
    trials: int = 0
    costs: tuple[LayerSensitivity, ...] = ()


def climb(ladder: Ladder, clock: Clock | None) -> Climbed:
    """Return the candidates that are worth making.

    Args:
        ladder: The target's scheme's.
        clock: Times recipes on the target; `None` where its latency can't be measured here.
    """
    trials, tried = ladder.trials, ladder.tried
    rounding = best(tried)
    static = rounding.recipe()
    if trials.holds(trials.trial(static)) and (clock is None or _pays(clock, static)):
        return Climbed(recipes(static), tried, trials=trials.made)
    form = ladder.form()
    costs = _costs(trials) if trials.holds(form.trial) and not form.learned else ()
    found, way = _mixtures(trials, form, rounding, costs)
    taken = _fastest(found, form.recipe(), clock)
    slow = most_layers(found) if taken is None else 0
    if taken is not None and rounding.after:
        taken = _improved(trials, taken, form, replace(way, after=rounding.after))
    made = recipes(static, form.recipe(), taken.recipe if taken is not None else None)
    return Climbed(made, tried, form, taken, slow, trials.made, costs)


def _pays(clock: Clock, static: Recipe) -> bool:
    return clock.scouted_us(static) < CLEARLY * clock.scouted_us(None)


def _costs(trials: Trials) -> tuple[LayerSensitivity, ...]:
    few = trials.judge.first(samples_for(trials.source.parameters))
    return sensitivity(trials.source, trials.scheme, few.samples, few.reference, labels=few.labels)


def _mixtures(
    trials: Trials, form: WeightForm, rounding: Rounding, costs: Sequence[LayerSensitivity]
) -> tuple[list[Mixture], Rounding]:
    """Return the mixtures that hold, the one with most layers first, and how their layers are rounded.

    Where the way that suits the whole network best leaves out many layers, the full range is tried, too: a range that was
    chosen for the loudest layer may cut off what a quiet one needs.
    """
    model, order = trials.source.model, [c.node for c in costs]

    def held(way: Rounding) -> list[Mixture]:
        return climb_layers(trials, lambda nodes: mixture(model, form, nodes, way), order)

    first, others = replace(rounding, after=()), Rounding(DEFAULT_OBSERVER)
    found = held(first)
    if others == first or most_layers(found) >= ENOUGH * len(order):
        return found, first
    more = held(others)
    return (more, others) if most_layers(more) > most_layers(found) else (found, first)


def most_layers(mixtures: Sequence[Mixture]) -> int:
    """Return how many layers the largest of mixtures has in integers."""
    return max((len(m.nodes) for m in mixtures), default=0)


def _improved(trials: Trials, taken: Mixture, form: WeightForm, rounding: Rounding) -> Mixture:
    """Return a mixture with what makes good for rounding applied to it, where that takes some of the error.

    The search goes without: it would be done anew for every number of layers.
    """
    recipe = mixture(trials.source.model, form, taken.nodes, rounding)
    trial = trials.trial(recipe)
    return Mixture(recipe, taken.nodes, trial) if trial.error < WORTH_IT * taken.trial.error else taken


def _fastest(found: Sequence[Mixture], below: Recipe, clock: Clock | None) -> Mixture | None:
    """Return the fastest mixture that is surely faster than the rung `below`; without a clock the largest."""
    if not found or clock is None:
        return found[0] if found else None
    quickest = min(found, key=lambda m: clock.scouted_us(m.recipe))
    return quickest if clock.faster(quickest.recipe, below) else None
