"""The candidates that are made of every model: recipes, from the one that changes most to the one that changes least."""

from __future__ import annotations

from typing import Final

from edgeml_compress.passes import dynamic_activations, halve_weights, quantize_weights, static_activations
from edgeml_compress.recipe import Recipe, Step

FLOAT: Final = "float32"
LEAST_VALUES: Final = 256  # of a weight that is only stored smaller: a scale a channel costs bytes, too


def static_int8(observer: str) -> Recipe:
    """Return full int8: weights and activations, ranges drawn by `observer`."""
    return Recipe(
        "int8",
        (
            Step("quantize_weights", quantize_weights.Params()),
            Step("static_activations", static_activations.Params(observer=observer)),
        ),
    )


def recipes(observer: str) -> tuple[Recipe, ...]:
    """Return the recipes of all candidates but float32 itself, which needs none."""
    return (
        static_int8(observer),
        Recipe(
            "int8-dynamic",
            (
                Step("quantize_weights", quantize_weights.Params(least_values=LEAST_VALUES)),
                Step("dynamic_activations", dynamic_activations.Params()),
            ),
        ),
        Recipe(
            "int8-weight-only", (Step("quantize_weights", quantize_weights.Params(bits=8, least_values=LEAST_VALUES)),)
        ),
        Recipe("float16", (Step("halve_weights", halve_weights.Params()),)),
    )
