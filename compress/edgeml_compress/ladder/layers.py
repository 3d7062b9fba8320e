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
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.ladder.weights import WeightForm
from edgeml_compress.layers import WEIGHTS, is_constant, name_of
from edgeml_compress.passes import quantize_weights
from edgeml_compress.placement import node_name
from edgeml_compress.recipe import Recipe, Step

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
    """Return the mixtures that hold, the one with the longest run of `order` first, then shares of it.

    The longest is found by bisection, and its shares are tried, too: which of them is the fastest, only a clock tells.
    """
    low, high = 0, len(order) + 1
    found: dict[int, Mixture] = {}
    while high - low > 1:
        middle = (low + high + 1) // 2 if high <= len(order) else len(order)  # all first: it is the likeliest to pay
        found |= _holding(trials, make, order, middle)
        low, high = (middle, high) if middle in found else (low, middle)
    for share in SHARES:
        count = int(share * low)
        if count > 0 and count not in found:
            found |= _holding(trials, make, order, count)
    return [found[count] for count in sorted(found, reverse=True)]


def _holding(
    trials: Trials, make: Callable[[Collection[str]], Recipe], order: Sequence[str], count: int
) -> dict[int, Mixture]:
    """Return the mixture of the first `count` layers by their number, when it holds."""
    recipe = make(order[:count])
    trial = trials.trial(recipe)
    return {count: Mixture(recipe, tuple(sorted(order[:count])), trial)} if trials.holds(trial) else {}
