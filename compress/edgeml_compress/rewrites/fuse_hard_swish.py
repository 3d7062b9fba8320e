"""Write x * Clip(x + 3, 0, 6) / 6, in whichever order, as the one operator that it is: HardSwish."""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.layers import sole_user
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.patterns import factor_of, number_beside, put_in_place_of, upper_bound
from edgeml_compress.rewrites import Said

SAID: Final = Said("Wrote {} as one operator.", "HardSwish curve", "One operator reads and writes memory once.")
LEAST_OPSET: Final = 14  # where ONNX got the operator


def fuse_hard_swish(model: ir.Model) -> int:
    """Fuse a value's product with its own HardSigmoid of slope 1/6; run `fuse_hard_sigmoid` first.

    Source: Howard et al. 2019, arXiv:1905.02244, section 5.2; ONNX, operator HardSwish.
    """
    if model.opset_imports.get("", 0) < LEAST_OPSET:
        return 0
    fused = 0
    for node in [node for graph in graphs(model) for node in graph]:
        fed = _of_ramp(node) or _of_clip(node)
        if fed is not None:
            put_in_place_of(node, "HardSwish", [fed], {})
            fused += 1
    return fused


def _of_ramp(node: ir.Node) -> ir.Value | None:
    """Return x of x * HardSigmoid(x)."""
    for fed, gate in _factors(node):
        ramp = gate.producer()
        if ramp is None or ramp.op_type != "HardSigmoid" or ramp.inputs[0] is not fed or sole_user(gate) is not node:
            continue
        slope, offset = ramp.attributes.get_float("alpha", 0.2), ramp.attributes.get_float("beta", 0.5)
        if abs(slope * 6 - 1) < 1e-5 and abs(offset * 2 - 1) < 1e-5:
            return fed
    return None


def _of_clip(node: ir.Node) -> ir.Value | None:
    """Return x of (x * Clip(x + 3, 0, 6)) / 6."""
    product, factor = factor_of(node)
    multiply = product.producer() if product is not None else None
    if product is None or multiply is None or abs(factor * 6 - 1) > 1e-5 or sole_user(product) is not node:
        return None
    for fed, gate in _factors(multiply):
        clip = gate.producer()
        if clip is None or upper_bound(clip) != 6 or clip.inputs[0] is None or sole_user(gate) is not multiply:
            continue
        addition = clip.inputs[0].producer()
        if addition is not None and addition.op_type == "Add" and number_beside(addition) == (fed, 3.0):
            return fed
    return None


def _factors(node: ir.Node) -> list[tuple[ir.Value, ir.Value]]:
    if node.op_type != "Mul" or node.domain or len(node.inputs) != 2:
        return []
    first, second = node.inputs
    return [(first, second), (second, first)] if first is not None and second is not None else []
