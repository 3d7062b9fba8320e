"""Variants of a way to round that cost nothing at run time: passes before and behind it that may make it better.

Which of them pays, the validation samples tell: `ladder/roundings.py` tries them. docs/decisions has what was measured.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from edgeml_compress.candidates import Rounding
from edgeml_compress.graph.links import links
from edgeml_compress.passes import Draft, correct_biases, equalize_layers, smooth_activations
from edgeml_compress.recipe import Step


def cheap_variants(draft: Draft, rounding: Rounding) -> tuple[Rounding, ...]:
    """Return the ways to round that are one cheap change away from `rounding`, on this network: none that has nothing to do."""
    eased = () if rounding.before else easing(draft)
    found = [dataclasses.replace(rounding, before=eased)] if eased else []
    return tuple(found if rounding.after else [corrected(rounding), *found])


def corrected(rounding: Rounding) -> Rounding:
    """Return a way to round with biases that make good for what it shifts."""
    return dataclasses.replace(rounding, after=(Step("correct_biases", correct_biases.Params()),))


def easing(draft: Draft) -> tuple[Step, ...]:
    """Return the passes that make a network easier to round and answer as before; those that find nothing to do are left out.

    Equalization goes by what the scheme has one scale for: with a scale a channel of the weights, only activations share one.
    """
    found = []
    if smooth_activations.places(draft.model):
        found.append(Step("smooth_activations", smooth_activations.Params()))
    if links(draft.model):
        by: Literal["weights", "activations"] = "activations" if draft.scheme.weights_per_channel else "weights"
        found.append(Step("equalize_layers", equalize_layers.Params(by=by)))
    return tuple(found)


def titles(rounding: Rounding) -> tuple[str, ...]:
    """Return what is done around the rounding itself, in words: "channels equalized", "biases corrected"."""
    words = {
        "equalize_layers": "channels equalized",
        "smooth_activations": "activations smoothed",
        "correct_biases": "biases corrected",
    }
    return tuple(words.get(step.name, step.name) for step in (*rounding.before, *rounding.after))
