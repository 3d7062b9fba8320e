"""The second rung: some layers in integers, the quietest first, the others' weights as the first rung left them.

How many is found by bisection on what the validation samples say, since what a layer costs alone predicts only roughly what
it costs among others. Of several numbers that hold the fastest is taken: a layer between two that stay in float pays for
the way into integers and back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import onnx_ir as ir

from edgeml_compress.candidates import MIXED, Rounding
from edgeml_compress.graph.layers import WEIGHTS, is_constant, name_of
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.ladder.weights import WeightForm
from edgeml_compress.passes import quantize_weights
from edgeml_compress.placement import node_name
from edgeml_compress.recipe import Recipe, Step

ROUNDS: Final = 3  # runs of layers: after each, the one that ends it is left out
SHARES: Final = (0.75, 0.5, 0.25)  # of the most layers that hold: fewer may be faster


@dataclass(frozen=True)
class Mixture:
    """A candidate with some layers in integers.

    Args:
        recipe: What makes it.
        nodes: The layers in integers, by node name, sorted.
        trial: How it did on the validation samples.
    """

    recipe: Recipe
    nodes: tuple[str, ...]
    trial: Trial


def mixture(model: ir.Model, form: WeightForm, nodes: Collection[str], rounding: Rounding) -> Recipe:
    """Return the recipe that makes `nodes` integers and stores all other weights in `form`."""
    held = tuple(sorted(weights_of(model, nodes)))
    integers = Step("quantize_weights", quantize_weights.Params(names=held))
    others = form.steps(without=held)
    return Recipe(MIXED, (*rounding.before, *others, integers, rounding.of(sorted(nodes)), *rounding.after))


def weights_of(model: ir.Model, nodes: Collection[str]) -> set[str]:
    """Return the names of the constants that nodes of the main graph multiply with."""
    found: set[str] = set()
    for node in model.graph:
        if node_name(node) in nodes and node.op_type in WEIGHTS:
            inputs = [node.inputs[i] for i in WEIGHTS[node.op_type][0] if i < len(node.inputs)]
            found |= {name_of(value) for value in inputs if value is not None and is_constant(value)}
    return found


def climb_layers(trials: Trials, make: Callable[[Collection[str]], Recipe], order: Sequence[str]) -> list[Mixture]:
    """Return mixtures that hold: the one with most layers first, then shares of it, of which only a clock tells the fastest.

    The longest run of `order` that holds is found by bisection. The layer that ends it is left out, since one that does
    harm among others may look quiet alone, and the search goes on with those behind it.
    """
    chosen: list[str] = []
    rest = list(order)
    found: dict[int, Mixture] = {}
    for _ in range(ROUNDS):
        run = _longest_run(trials, make, chosen, rest, found)
        chosen, rest = chosen + rest[:run], rest[run + 1 :]
        if not rest:
            break
    for share in SHARES:
        count = int(share * len(chosen))
        if count > 0 and count not in found:
            found |= _holding(trials, make, chosen[:count])
    return [found[count] for count in sorted(found, reverse=True)]


def quietest(trials: Trials, make: Callable[[Collection[str]], Recipe], order: Sequence[str]) -> Mixture | None:
    """Return the mixture with most layers, but not the loudest, that holds; `None` where none does."""
    for share in SHARES:
        count = int(share * len(order))
        found = _holding(trials, make, order[:count]) if count else {}
        if found:
            return found[count]
    return None


def _longest_run(
    trials: Trials,
    make: Callable[[Collection[str]], Recipe],
    chosen: Sequence[str],
    rest: Sequence[str],
    found: dict[int, Mixture],
) -> int:
    """Return how many of `rest` hold together with those `chosen`; what held is added to `found`, by its number of layers."""
    low, high = 0, len(rest) + 1
    while high - low > 1:
        middle = len(rest) if high > len(rest) else (low + high) // 2  # all first: it is the likeliest to pay
        held = _holding(trials, make, [*chosen, *rest[:middle]])
        found |= held
        low, high = (middle, high) if held else (low, middle)
    return low


def _holding(trials: Trials, make: Callable[[Collection[str]], Recipe], nodes: Sequence[str]) -> dict[int, Mixture]:
    """Return the mixture of some layers by their number, when it holds."""
    recipe = make(nodes)
    trial = trials.trial(recipe)
    return {len(nodes): Mixture(recipe, tuple(sorted(nodes)), trial)} if trials.holds(trial) else {}
