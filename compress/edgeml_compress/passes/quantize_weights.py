"""Write weights as symmetric integers: one scale an output channel where the target's scheme has that, or one a block.

Alone it makes a *weight-only* candidate: smaller, computed in float. The graph stays float; an exporter writes integers.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from pydantic import Field

from edgeml_compress.graph.layers import Weight, weights
from edgeml_compress.passes import Draft, Pass, named
from edgeml_compress.saturation import pairwise_limit
from edgeml_targets.contract.encodings import Encoding, symmetric, symmetric_blocks

LEAST_BLOCK: Final = 8  # of fewer values, a scale of two bytes costs a quarter of what they take


@dataclass(frozen=True)
class Params:
    """Parameters of `quantize_weights`.

    Args:
        bits: Width of the integers; `None` takes the scheme's, which may be narrow so that no product saturates.
        least_values: Smaller weights stay in float: their scales would cost what the integers save.
        names: Weights by name; `None` takes all.
        block: Most values that share a scale, for weights that are computed with in float: blocks lie within a row of a
            channel, whose length they divide, from 8 values up. One scale a channel where that comes closer to the weight
            (a kernel of 5 x 5 values has no blocks; rows across all channels may differ less than channels do).
            `None`: one scale a channel.
    """

    bits: Annotated[int, Field(ge=2, le=8)] | None = None
    least_values: Annotated[int, Field(ge=0)] = 0
    names: tuple[str, ...] | None = None
    block: Annotated[int, Field(ge=LEAST_BLOCK)] | None = None


def quantize_weights(draft: Draft, params: Params) -> Draft:
    """Give weights an encoding; one that they have already is replaced.

    Raises:
        EdgemlError: The model has no weight of a name that was given.

    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1: symmetric, per channel. Blocks: Dettmers et al. 2022,
    arXiv:2110.02861, section 2.1.
    """
    scheme = draft.scheme
    bits = params.bits or scheme.weight_bits
    form = Form(bits, scheme.weights_per_channel, params.block, scheme.pair_sum if params.bits is None else None)
    made = {
        name: encode(weight, form)
        for name, weight in named(weights(draft.model), params.names, "weight").items()
        if weight.values.size >= params.least_values
    }
    encodings = msgspec.structs.replace(
        draft.encodings, tensors={**draft.encodings.tensors, **made}, float16=draft.encodings.float16 - made.keys()
    )
    return dataclasses.replace(draft, encodings=encodings)


@dataclass(frozen=True)
class Form:
    """How weights become integers: their width, a scale a channel or a tensor, a scale a block, and `Scheme.pair_sum`."""

    bits: int = 8
    per_channel: bool = True
    block: int | None = None
    pair_sum: int | None = None


def encode(weight: Weight, form: Form) -> Encoding:
    """Return the encoding that just holds a weight, with a scale a block, a channel, or one for all."""
    axis = weight.axis if form.per_channel else None
    if form.block is not None and weight.values.size > 0:
        whole = dataclasses.replace(form, block=None, pair_sum=None)
        return _closest(weight, [encode(weight, whole), *_in_blocks(weight, form.bits, form.block)])
    if form.pair_sum is not None:
        highest = (1 << (form.bits - 1)) - 1
        limit = pairwise_limit(weight.values, weight.axis, highest=highest, most=form.pair_sum)
        return symmetric(limit if axis is not None else limit.max(initial=0.0), bits=form.bits, axis=axis)
    values = np.abs(weight.values)
    others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    return symmetric(values.max(axis=others, initial=0.0), bits=form.bits, axis=axis)


def _in_blocks(weight: Weight, bits: int, block: int) -> list[Encoding]:
    run = fitting_block(_row(weight.values.shape, weight.axis), block)
    return [] if run is None else [symmetric_blocks(weight.values, block=run, bits=bits)]


def _row(shape: tuple[int, ...], axis: int | None) -> int:
    """Return how many values lie side by side that belong to one channel, or, where channels lie innermost, to all of them."""
    inside = shape[axis + 1 :] if axis is not None and axis < len(shape) - 1 else shape[-1:]
    return math.prod(inside)


def _closest(weight: Weight, encodings: list[Encoding]) -> Encoding:
    """Return the encoding that comes closest to a weight, of equal ones the first.

    Each row counts by its own size: a row of small values is read from an input that is large, or it would do nothing.
    """
    rows = weight.values.reshape(-1, weight.values.shape[-1])
    sizes = np.maximum((rows**2).sum(axis=1), np.finfo(np.float32).tiny)

    def error(encoding: Encoding) -> float:
        off = (encoding.dequantize(encoding.quantize(weight.values)) - weight.values).reshape(rows.shape)
        return float(((off**2).sum(axis=1) / sizes).sum())

    return min(encodings, key=error)


def fitting_block(row: int, block: int) -> int | None:
    """Return the largest divisor of a row of values up to `block`, from `LEAST_BLOCK`; `None` when there is none.

    Example:
        >>> fitting_block(16 * 3 * 3, 32), fitting_block(3 * 3 * 3, 32), fitting_block(7 * 11, 10)
        (24, 27, None)
    """
    return next((run for run in range(block, LEAST_BLOCK - 1, -1) if row % run == 0), None)


PASS = Pass(Params, quantize_weights)
