"""Climb the ladder for one target: which candidates it is worth making.

1. Full int8, as well rounded as the cheap choices allow. It ends here where that holds and is faster than float.
2. Else the weights alone, in the smallest form that holds.
3. And, on top of that, the layers in integers that hold, where a clock says that they pay. Not where the weights had to be
   learned: an activation of 8 bits is off by more than they are.

Where the held-back samples refuse the full int8 that it ended at, the ladder goes on (`climb_on`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgeml_compress.candidates import STATIC, Rounding, recipes
from edgeml_compress.judging.sensitivity import sensitivity
from edgeml_compress.ladder.clock import Clock
from edgeml_compress.ladder.layers import Mixture, climb_layers, mixture, quietest
from edgeml_compress.ladder.roundings import DEFAULT_OBSERVER, WORTH_IT, Tried, best, next_best
from edgeml_compress.ladder.setting import Ladder
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.ladder.weights import WeightForm, samples_for
from edgeml_compress.recipe import Recipe
from edgeml_compress.results import LayerSensitivity

CLEARLY: Final = 0.9  # of float's time, when scouted: then full int8 is faster for sure
ENOUGH: Final = 0.4  # of the layers in integers: then no other way to round is tried
AS_GOOD: Final = 1.25  # of the best way's error, at most: a way that on a hundred samples may lose less than the best


@dataclass(frozen=True)
class Climbed:
    """What the ladder came to.

    Args:
        tried: The ways to round, best first; empty where none could be tried.
        form: How weights that are computed with in float are stored; `None`: the ladder ended before.
        mixture: The layers in integers that pay; `None`: none do, or the ladder ended before.
        slow: The mixture that held but was no faster than what it stands on, by the number of its layers; 0 without.
        trials: How many recipes were tried.
        costs: What each layer costs alone, the quietest first; empty where the ladder ended before it was asked.
        other: The next best way to round, where full int8 is a candidate by it, too.
        refused: Whether the ladder went on since held-back samples refused the full int8 that it had ended at.
    """

    tried: tuple[Tried, ...]
    form: WeightForm | None = None
    mixture: Mixture | None = None
    slow: int = 0
    trials: int = 0
    costs: tuple[LayerSensitivity, ...] = ()
    other: Tried | None = None
    refused: bool = False

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Of the candidates, the one that changes most first."""
        other = None if self.other is None else self.other.rounding.recipe(f"{STATIC}-{self.other.observer}")
        form = None if self.form is None else self.form.recipe()
        mixed = None if self.mixture is None else self.mixture.recipe
        return recipes(best(self.tried).recipe(), form, mixed, other)


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
        return Climbed(tried, trials=trials.made)
    form = ladder.form()
    costs = _costs(trials) if trials.holds(form.trial) and not form.learned else ()
    found, way = _mixtures(trials, form, rounding, costs)
    taken = _fastest(found, form.recipe(), clock)
    slow = most_layers(found) if taken is None else 0
    if taken is not None and rounding.after:
        taken = _improved(trials, taken, form, replace(way, after=rounding.after))
    return Climbed(tried, form, taken, slow, trials.made, costs)


def climb_on(ladder: Ladder, ended: Climbed, *, by_estimate: bool) -> Climbed:
    """Return what to try besides where the held-back samples refuse full int8; `ended` itself where there is nothing.

    A mixture without the loudest layers, where the ladder ended at full int8. And full int8 by another observer, where an
    estimate alone refuses it: of ways to round that are as good, chance chooses on a hundred samples.

    Args:
        ladder: The target's scheme's.
        ended: What the ladder came to.
        by_estimate: Whether more samples could tell otherwise.
    """
    found = ended if ended.form is not None else _with_mixture(ladder, ended)
    other = next_best(ladder.trials, ladder.tried, AS_GOOD) if by_estimate else None
    return found if other is None else replace(found, other=other)


def _with_mixture(ladder: Ladder, ended: Climbed) -> Climbed:
    trials, form, rounding = ladder.trials, ladder.form(), best(ladder.tried)
    costs = _costs(trials) if trials.holds(form.trial) and not form.learned else ()
    order = [c.node for c in costs]
    quiet = quietest(trials, lambda nodes: mixture(trials.source.model, form, nodes, rounding), order)
    return replace(ended, form=form, mixture=quiet, costs=costs, trials=trials.made, refused=True)


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
