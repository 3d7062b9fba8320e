"""Write weights as symmetric integers, one scale an output channel where the target's scheme has that.

Alone it makes a *weight-only* candidate: smaller, computed in float. The graph stays float; an exporter writes integers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from pydantic import Field

from edgeml_compress.layers import Weight, weights
from edgeml_compress.passes import Draft, Pass
from edgeml_targets.contract.encodings import Encoding, symmetric


@dataclass(frozen=True)
class Params:
    """Parameters of `quantize_weights`.

    Args:
        bits: Width of the integers; `None` takes the scheme's, which may be narrow so that no product saturates.
        least_values: Smaller weights stay in float: their scales would cost what the integers save.
    """

    bits: Annotated[int, Field(ge=2, le=8)] | None = None
    least_values: Annotated[int, Field(ge=0)] = 0


def quantize_weights(draft: Draft, params: Params) -> Draft:
    """Give every weight of the main graph an encoding.

    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1: symmetric, per channel.
    """
    bits = params.bits or draft.scheme.weight_bits
    made = {
        name: encode(weight, bits=bits, per_channel=draft.scheme.weights_per_channel)
        for name, weight in weights(draft.model).items()
        if weight.values.size >= params.least_values
    }
    tensors = {**draft.encodings.tensors, **made}
    return dataclasses.replace(draft, encodings=msgspec.structs.replace(draft.encodings, tensors=tensors))


def encode(weight: Weight, *, bits: int, per_channel: bool) -> Encoding:
    """Return the encoding that just holds a weight, with a scale a channel or one for all."""
    values = np.abs(weight.values)
    if not per_channel or weight.axis is None:
        return symmetric(values.max(initial=0.0), bits=bits)
    others = tuple(i for i in range(values.ndim) if i != weight.axis)
    return symmetric(values.max(axis=others, initial=0.0), bits=bits, axis=weight.axis)


PASS = Pass(Params, quantize_weights)
