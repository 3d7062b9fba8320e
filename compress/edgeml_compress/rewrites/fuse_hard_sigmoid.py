"""Write Clip(x * a + b, 0, c) / c as the one operator that it is: HardSigmoid."""

from __future__ import annotations

from typing import Final, NamedTuple

import onnx_ir as ir

from edgeml_compress.graph.layers import sole_user
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.patterns import factor_of, number_beside, put_in_place_of, upper_bound
from edgeml_compress.rewrites import Said

SAID: Final = Said("Wrote {} as one operator.", "HardSigmoid curve", "One operator reads and writes memory once.")


class Ramp(NamedTuple):
    """What a HardSigmoid computes, max(0, min(1, slope * x + offset)), of the value `fed`."""

    fed: ir.Value
    slope: float
    offset: float


def fuse_hard_sigmoid(model: ir.Model) -> int:
    """Fuse a shift (and a factor before it), a Clip from 0, and the division by the Clip's bound where that is not 1.

    Source: ONNX, operator HardSigmoid: max(0, min(1, alpha * x + beta)).
    """
    fused = 0
    for node in [node for graph in graphs(model) for node in graph]:
        ramp = _ramp(node)
        if ramp is not None:
            put_in_place_of(node, "HardSigmoid", [ramp.fed], {"alpha": ramp.slope, "beta": ramp.offset})
            fused += 1
    return fused


def _ramp(node: ir.Node) -> Ramp | None:
    """Return what `node`, the last of the pattern, computes; `None` where it is not of that pattern."""
    scaled, factor = factor_of(node)
    clip = node if scaled is None else scaled.producer()
    if scaled is not None and sole_user(scaled) is not node:
        return None
    bound = upper_bound(clip) if clip is not None else None
    if clip is None or bound is None or abs(bound * factor - 1) > 1e-6:
        return None
    shifted = clip.inputs[0]
    addition = shifted.producer() if shifted is not None else None
    if shifted is None or addition is None or addition.op_type != "Add" or sole_user(shifted) is not clip:
        return None
    fed, offset = number_beside(addition)
    if fed is None:
        return None
    product = fed.producer()
    if product is not None and product.graph is node.graph and sole_user(fed) is addition:
        inner, slope = factor_of(product)
        if inner is not None:
            return Ramp(inner, slope * factor, offset * factor)
    return Ramp(fed, factor, offset * factor) if scaled is not None else None
