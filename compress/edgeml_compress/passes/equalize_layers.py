"""Equalize what passes from layer to layer: a channel that is scaled in one layer is scaled back in the next.

Comes first: the float network answers as before, but its channels need more alike ranges, so that one scale serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgeml_compress.graph.channels import (
    input_ranges,
    output_ranges,
    scale_constant,
    scale_inputs,
    scale_outputs,
)
from edgeml_compress.graph.layers import name_of
from edgeml_compress.graph.links import Link, links
from edgeml_compress.graph.naming import Constants
from edgeml_compress.passes import Draft, Pass, largest_seen, needed_samples, once, recalibrated, refuse_encoded

Floats = npt.NDArray[np.float64]
SETTLED: Final = 1e-3  # factors this near to 1 change nothing that counts


@dataclass(frozen=True)
class Params:
    """Parameters of `equalize_layers`.

    Args:
        by: What is made alike: the `weights` of both layers, for one scale a weight; or the `activations` between them and
            the weights behind, where weights have a scale a channel and only activations share one.
        rounds: Most times that all pairs are gone through; chains of layers settle in a few.
        most: Largest factor of a channel, and one over the least.
    """

    by: Literal["weights", "activations"] = "weights"
    rounds: Annotated[int, Field(ge=1, le=1000)] = 20
    most: Annotated[float, Field(gt=1)] = 100.0


@once
def equalize_layers(draft: Draft, params: Params) -> Draft:
    """Scale the channels between any two layers in a row so that neither side's range stands out.

    Two layers are in a row when what lies between gives `s` times as much for `s` times as much: nothing, Relu, LeakyRelu,
    PRelu, pooling, flattening. What a layer gives must be read by the next alone; a Clip between them is left alone.

    Raises:
        EdgemlError: A weight has an encoding already, or the draft has no samples for the ranges that change.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1, equation 11; of activations: with the first range seen on
    samples, as in Xiao et al. 2022, arXiv:2211.10438, equation 4 with alpha 0.5.
    """
    refuse_encoded(draft, "equalize_layers")
    model = draft.model.clone()
    pairs = links(model)
    if not pairs:
        return draft
    needed_samples(draft, "equalize_layers")
    step, by_values = f"equalize_layers {params}", params.by == "activations"
    seen = largest_seen(draft, step, {name_of(link.entering): link.axis for link in pairs}) if by_values else {}
    constants, totals = Constants(model), [np.ones(1) for _ in pairs]
    for _ in range(params.rounds):
        moved = 0.0
        for index, link in enumerate(pairs):
            ranges = _first_range(link, seen, totals[index])
            factors = _factors(ranges, _second_range(link), totals[index], params.most)
            _scale(constants, link, factors)
            totals[index] = totals[index] * factors
            moved = max(moved, float(np.abs(np.log(factors)).max(initial=0.0)))
        if moved < SETTLED:
            break
    return recalibrated(draft, model, step, seen)


def _first_range(link: Link, seen: dict[str, Floats], total: Floats) -> Floats:
    """Return the range of each channel before the second layer: of the first one's weights, or of what was seen so far scaled."""
    if not seen:
        found = output_ranges(link.first)
        return np.ones(1) if found is None else found
    largest = seen[name_of(link.entering)]
    return _by_channel(largest, link) / total


def _second_range(link: Link) -> Floats:
    return _by_channel(input_ranges(link.second), link)


def _by_channel(largest: Floats, link: Link) -> Floats:
    return np.asarray(largest.reshape(-1, link.repeats).max(axis=1))


def _factors(first: Floats, second: Floats, total: Floats, most: float) -> Floats:
    """Return what the first layer's channels are divided by, and the second's multiplied with; 1 where either is all 0."""
    usable = (first > 0) & (second > 0)
    wanted = np.sqrt(np.divide(first, second, out=np.ones_like(second), where=usable))
    middle = (
        float(np.exp(np.log(wanted[usable]).mean())) if usable.any() else 1.0
    )  # of all channels alike nothing is gained
    held = np.clip(total * np.where(usable, wanted / middle, 1.0), 1 / most, most)
    return np.asarray(held / total)


def _scale(constants: Constants, link: Link, factors: Floats) -> None:
    scale_outputs(constants, link.first, 1 / factors)
    if link.added is not None:
        scale_constant(constants, *link.added, 1 / factors)
    scale_inputs(link.second, np.repeat(factors, link.repeats))


PASS = Pass(Params, equalize_layers)
