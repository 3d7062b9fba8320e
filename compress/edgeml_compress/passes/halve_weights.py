"""Write weights in half precision; they are computed with in float32, so every runtime can."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from pydantic import Field

from edgeml_compress.layers import weights
from edgeml_compress.passes import Draft, Pass

LARGEST: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Params:
    """Parameters of `halve_weights`.

    Args:
        least_values: Smaller weights stay in float32.
    """

    least_values: Annotated[int, Field(ge=0)] = 16


def halve_weights(draft: Draft, params: Params) -> Draft:
    """Mark every weight of the main graph that half precision can hold and that has no encoding yet.

    Source: IEEE 754-2008, binary16: 11 bits of precision, up to 65,504.
    """
    found = weights(draft.model)
    large = [n for n, w in found.items() if w.values.size >= params.least_values and n not in draft.encodings.tensors]
    held = [n for n in large if np.abs(found[n].values).max(initial=0.0) <= LARGEST]
    kept = tuple(f"{n}: holds values above {LARGEST:,.0f}" for n in sorted(set(large) - set(held)))
    float16 = draft.encodings.float16 | frozenset(held)
    return dataclasses.replace(
        draft, encodings=msgspec.structs.replace(draft.encodings, float16=float16), kept=draft.kept + kept
    )


PASS = Pass(Params, halve_weights)
