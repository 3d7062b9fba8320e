"""Smooth activations: what stands out in a few channels of a normalization goes over into the weights behind it.

Comes first. In a transformer, a few channels are tens of times larger than the rest, and one scale for all leaves the rest a
handful of integers. The normalization before the matrix product is divided channel by channel, the product's weight
multiplied: the float network answers as before, at no cost at run time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from pydantic import Field

from edgeml_compress.graph.channels import input_ranges, own_weight, scale_constant, scale_inputs
from edgeml_compress.graph.layers import constant, is_constant, name_of, sole_user
from edgeml_compress.graph.naming import Constants
from edgeml_compress.passes import Draft, Pass, largest_seen, once, recalibrated, refuse_encoded

Floats = npt.NDArray[np.float64]
Constant = tuple[ir.Node, int]
"""A node, and which of its inputs is a constant that can be scaled a channel."""


@dataclass(frozen=True)
class Params:
    """Parameters of `smooth_activations`.

    Args:
        alpha: How much of the difficulty goes into the weights: 0 none, 1 all.
    """

    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5


@once
def smooth_activations(draft: Draft, params: Params) -> Draft:
    """Move the ranges of channels from activations into weights wherever a normalization is read by matrix products alone.

    The scale goes into the weight and bias of a LayerNormalization or RMSNormalization, or into a constant factor and addend
    a channel, which is what older exports write. A product's weight must be its own.

    Raises:
        EdgemlError: A weight has an encoding already, or the draft has no samples.

    Source: Xiao et al. 2022, arXiv:2211.10438, equations 3 and 4.
    """
    refuse_encoded(draft, "smooth_activations")
    model = draft.model.clone()
    found = places(model)
    if not found:
        return draft
    constants, step = Constants(model), f"smooth_activations {params}"
    largest = largest_seen(draft, step, {name_of(value): -1 for value in found})
    for value in found:
        readers = _readers(value)
        weights = np.max([input_ranges(reader) for reader in readers], axis=0)
        factors = _factors(largest[name_of(value)], weights, params.alpha)
        for node, index in _divisible(value):
            scale_constant(constants, node, index, 1 / factors)
        for reader in readers:
            scale_inputs(reader, factors)
    return recalibrated(draft, model, step, largest)


def places(model: ir.Model) -> list[ir.Value]:
    """Return the activations that can be smoothed: a constant a channel makes them, and only matrix products read them."""
    values = [node.outputs[0] for node in model.graph if node.outputs]
    return [value for value in values if _readers(value) and _divisible(value)]


def _factors(activations: Floats, weights: Floats, alpha: float) -> Floats:
    """Return what each channel's activations are divided by; 1 where either side is all 0."""
    usable = (activations > 0) & (weights > 0)
    safe = np.where(usable, activations, 1.0), np.where(usable, weights, 1.0)
    return np.asarray(safe[0] ** alpha / safe[1] ** (1 - alpha))


def _readers(value: ir.Value) -> list[ir.Node]:
    """Return the matrix products that read a value, or none when anything else does, or a weight is shared."""
    uses = value.uses()
    products = [u.node for u in uses if u.idx == 0 and u.node.op_type in ("MatMul", "Gemm") and own_weight(u.node)]
    rank = len(value.shape) if value.shape is not None else 0
    return products if len(products) == len(uses) and rank > 1 and not value.is_graph_output() else []


def _divisible(value: ir.Value) -> list[Constant]:
    """Return the constants that, each divided a channel, divide a value; none where there are no such."""
    node = value.producer()
    if node is None or node.domain or value.shape is None:
        return []
    rank, size = len(value.shape), value.shape[-1]
    if node.op_type in ("LayerNormalization", "RMSNormalization"):
        last = node.attributes.get_int("axis", -1) % rank == rank - 1
        constants = [(node, i) for i in range(1, len(node.inputs)) if node.inputs[i] is not None]
        return constants if last and all(_is_row(*c, size) for c in constants) else []
    if node.op_type not in ("Mul", "Add"):
        return []
    index = next((i for i in (0, 1) if _is_row(node, i, size)), None)
    other = None if index is None else node.inputs[1 - index]
    if index is None or other is None or other.shape is None or len(other.shape) != rank or other.shape[-1] != size:
        return []
    if node.op_type == "Mul":
        return [(node, index)]
    before = _divisible(other) if sole_user(other) is node else []
    return [*before, (node, index)] if before else []


def _is_row(node: ir.Node, index: int, size: object) -> bool:
    """Tell whether an input is a constant with one value a channel of the last axis, or one for all."""
    value = node.inputs[index]
    if value is None or not is_constant(value) or not isinstance(size, int):
        return False
    shape = constant(value).shape
    return all(d == 1 for d in shape[:-1]) and (not shape or shape[-1] in (1, size))


PASS = Pass(Params, smooth_activations)
