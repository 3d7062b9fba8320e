"""The candidates that are made of every model: recipes, from the one that changes most to the one that changes least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeml_compress.observers import observer_names
from edgeml_compress.passes import dynamic_activations, halve_weights, quantize_weights, static_activations
from edgeml_compress.recipe import Recipe, Step

EASING: Final = frozenset({"smooth_activations", "equalize_layers"})  # passes before a rounding
FLOAT: Final = "float32"
STATIC: Final = "int8"
MIXED: Final = "int8-mixed"
DYNAMIC: Final = "int8-dynamic"
WEIGHT_ONLY: Final = "int8-weight-only"
LEAST_VALUES: Final = 256  # of a weight that is only stored smaller: a scale a channel costs bytes, too


@dataclass(frozen=True)
class Rounding:
    """How layers become integers, whichever they are.

    Args:
        observer: What draws the ranges of activations.
        before: Passes that make the float network easier to round.
        after: Passes that make good for what was rounded.
    """

    observer: str
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()

    def recipe(self, name: str = STATIC) -> Recipe:
        """Return full int8: weights and activations."""
        whole = Step("quantize_weights", quantize_weights.Params())
        return Recipe(name, (*self.before, whole, self.of(None), *self.after))

    @classmethod
    def read(cls, recipe: Recipe) -> Rounding | None:
        """Return the way to round whose `recipe` this is; `None` where it is another recipe."""
        names = [step.name for step in recipe.steps]
        if "static_activations" not in names:
            return None
        at = names.index("static_activations")
        found = cls(recipe.steps[at].params.observer, recipe.steps[: max(at - 1, 0)], recipe.steps[at + 1 :])
        known = {s.name for s in found.before} <= EASING and {s.name for s in found.after} <= {"correct_biases"}
        return found if known and found.observer in observer_names() and found.recipe().steps == recipe.steps else None

    def of(self, nodes: Sequence[str] | None) -> Step:
        """Return the pass that makes the activations of `nodes` integers; `None`: of all that the scheme names."""
        named = None if nodes is None else tuple(sorted(nodes))
        return Step("static_activations", static_activations.Params(observer=self.observer, nodes=named))


def static_int8(observer: str) -> Recipe:
    """Return full int8: weights and activations, ranges drawn by `observer`."""
    return Rounding(observer).recipe()


def recipes(
    static: Recipe, weight_only: Recipe | None = None, mixed: Recipe | None = None, other: Recipe | None = None
) -> tuple[Recipe, ...]:
    """Return the recipes of all candidates but float32 itself, which needs none.

    Args:
        static: Full int8.
        weight_only: Weights alone, computed with in float; `None`: one scale a channel.
        mixed: Some layers in integers; `None`: there is no such candidate.
        other: Full int8, rounded another way; `None`: there is no such candidate.
    """
    smaller = Step("quantize_weights", quantize_weights.Params(bits=8, least_values=LEAST_VALUES))
    found = Step("quantize_weights", quantize_weights.Params(least_values=LEAST_VALUES))
    return (
        static,
        *(recipe for recipe in (other, mixed) if recipe is not None),
        Recipe(DYNAMIC, (found, Step("dynamic_activations", dynamic_activations.Params()))),
        weight_only or Recipe(WEIGHT_ONLY, (smaller,)),
        Recipe("float16", (Step("halve_weights", halve_weights.Params()),)),
    )
