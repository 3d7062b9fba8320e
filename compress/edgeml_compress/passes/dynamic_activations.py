"""Find the scale of activations anew at each inference: no calibration, some time.

Only inputs of operators whose weights have an encoding become integers; outputs stay float.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import msgspec
from pydantic import Field

from edgeml_compress.ends import products
from edgeml_compress.graph.layers import WEIGHTS, is_constant
from edgeml_compress.passes import Draft, Pass


@dataclass(frozen=True)
class Params:
    """Parameters of `dynamic_activations`.

    Args:
        operators: Whose inputs become integers; `None` takes the scheme's, without products that are too small to pay. A
            scale found at run time pays later than one that is known: of two such products, rows x inputs x outputs, float
            takes of dynamic ones in ONNX Runtime 0.64 (1x64x64), 0.69 (1x128x128), 0.86 (1x256x256) and 2.5 (1x512x512), in
            OpenVINO 0.75 of each. So what is too small for a known scale (`least_products`) is too small for this one.
    """

    operators: Annotated[tuple[str, ...], Field(min_length=1)] | None = None


def dynamic_activations(draft: Draft, params: Params) -> Draft:
    """Mark the inputs of operators with encoded weights.

    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.2, there called on-the-fly quantization.
    """
    operators = draft.scheme.dynamic_operators if params.operators is None else params.operators
    least = draft.scheme.least_products if params.operators is None else 0
    marked = set(draft.encodings.dynamic)
    for node in draft.model.graph:
        if node.domain or node.op_type not in operators or node.op_type not in WEIGHTS:
            continue
        value, weight = node.inputs[0], node.inputs[1]
        if value is None or weight is None or is_constant(value) or weight.name not in draft.encodings.tensors:
            continue
        if (count := products(node)) is not None and count < least:
            continue
        if draft.encodings.tensors[str(weight.name)].block is not None:  # no integer kernel takes it
            continue
        if value.name and value.name not in draft.encodings.tensors:
            marked.add(value.name)
    return dataclasses.replace(draft, encodings=msgspec.structs.replace(draft.encodings, dynamic=frozenset(marked)))


PASS = Pass(Params, dynamic_activations)
