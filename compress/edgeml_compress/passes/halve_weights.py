"""Write weights in half precision; they are computed with in float32, so every runtime can."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import numpy as np
from pydantic import Field

from edgeml_compress.graph.layers import weights
from edgeml_compress.passes import Draft, Pass, named

LARGEST: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Params:
    """Parameters of `halve_weights`.

    Args:
        least_values: Smaller weights stay in float32.
        names: Weights by name, also those that have an encoding, which they lose; `None` takes all that have none.
    """

    least_values: Annotated[int, Field(ge=0)] = 16
    names: tuple[str, ...] | None = None


def halve_weights(draft: Draft, params: Params) -> Draft:
    """Mark the weights that half precision can hold.

    Raises:
        EdgemlError: The model has no weight of a name that was given.

    Source: IEEE 754-2008, binary16: 11 bits of precision, up to 65,504.
    """
    known = weights(draft.model)
    if params.names is None:
        known = {name: weight for name, weight in known.items() if name not in draft.encodings.tensors}
    found = named(known, params.names, "weight")
    large = [name for name, weight in found.items() if weight.values.size >= params.least_values]
    held = frozenset(name for name in large if np.abs(found[name].values).max(initial=0.0) <= LARGEST)
    kept = tuple(f"{n}: holds values above {LARGEST:,.0f}" for n in sorted(set(large) - held))
    encodings = msgspec.structs.replace(
        draft.encodings,
        float16=draft.encodings.float16 | held,
        tensors={name: encoding for name, encoding in draft.encodings.tensors.items() if name not in held},
    )
    return dataclasses.replace(draft, encodings=encodings, kept=draft.kept + kept)


PASS = Pass(Params, halve_weights)
