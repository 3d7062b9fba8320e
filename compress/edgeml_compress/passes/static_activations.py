"""Give activations one scale for all inferences, drawn from the calibration: what full int8 computes with."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import onnx_ir as ir

from edgeml_compress.calibration import Seen, merge_seen
from edgeml_compress.graph.layers import constant
from edgeml_compress.observers import Range, find_observer
from edgeml_compress.passes import Draft, Pass, halve_weights
from edgeml_compress.placement import place
from edgeml_targets.contract.encodings import Encoding, affine, symmetric
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.target import Scheme

BITS: Final = 8
FIXED: Final = {
    "Softmax": Range(0.0, 255 / 256),
    "Sigmoid": Range(0.0, 255 / 256),
    "Tanh": Range(-1.0, 127 / 128),
}
"""Outputs whose range is known beforehand; LiteRT's int8 specification fixes these scales at 1/256 and 1/128."""


@dataclass(frozen=True)
class Params:
    """Parameters of `static_activations`.

    Args:
        observer: What draws a range from what a tensor held: an observer's name.
        nodes: The layers that become integers, by node name; `None` takes all of the scheme's operators. Operators
            without weights follow the layers around them, see `placement.place`.
        bits: Width of the integers; 16 where the scheme allows it, then always signed and symmetric, as LiteRT has them.
    """

    observer: str = "minmax"
    nodes: tuple[str, ...] | None = None
    bits: Literal[8, 16] = 8


def static_activations(draft: Draft, params: Params) -> Draft:
    """Give an encoding to every activation of the operators that the scheme names.

    Raises:
        EdgemlError: There is no such observer, or the scheme has no integers of that width.

    Source: Jacob et al. 2018, arXiv:1712.05877; where scales are shared: LiteRT's 8-bit quantization specification,
    https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec
    """
    observe, scheme = find_observer(params.observer), draft.scheme
    if params.bits not in scheme.activation_bits:
        widths = " and ".join(map(str, scheme.activation_bits))
        raise EdgemlError(f"the target has no activations of {params.bits} bits", where="bits", mend=f"it has {widths}")
    seen = draft.calibration.tensors
    usable = {name: s.usable for name, s in seen.items()}
    placement = place(draft.model, scheme, draft.encodings, usable, params.nodes)
    fixed = {o.name: n.op_type for n in draft.model.graph if n.op_type in FIXED for o in n.outputs}
    tensors = {name: e for name, e in draft.encodings.tensors.items() if name not in placement.slow}
    for group in placement.groups:
        known = [fixed[name] for name in group if name in fixed]
        held = functools.reduce(merge_seen, (seen[name] for name in group), Seen())
        found = _fixed(known[0], params.bits) if known else observe(held, params.bits)
        encoding = encode(found, scheme, params.bits)
        tensors.update(dict.fromkeys(group, encoding))
    for name in placement.constants:
        tensors[name] = encode(_extremes(draft.model, name), scheme, params.bits)
    encodings = msgspec.structs.replace(draft.encodings, tensors=tensors)
    placed = dataclasses.replace(draft, encodings=encodings, kept=draft.kept + placement.kept)
    if not placement.slow:
        return placed
    return halve_weights.halve_weights(placed, halve_weights.Params(names=placement.slow))


def encode(found: Range, scheme: Scheme, bits: int = BITS) -> Encoding:
    """Return a range's encoding as a scheme wants its activations."""
    if scheme.activations_symmetric or bits > BITS:
        return _centred(found, bits)
    if scheme.zero_points_from is not None and found.low < 0 < found.high:
        grown = 2 * max(-found.low, found.high) / (found.high - found.low)
        if grown < scheme.zero_points_from:
            return _centred(found, bits)
    return affine(found.low, found.high, bits=bits, signed=scheme.activations_signed)


def _centred(found: Range, bits: int) -> Encoding:
    return msgspec.structs.replace(symmetric(max(abs(found.low), abs(found.high)), bits=bits), narrow=False)


def _fixed(operator: str, bits: int) -> Range:
    return FIXED[operator] if bits == BITS else Range(-1.0, 1.0 - 2.0 ** (1 - bits))


def _extremes(model: ir.Model, name: str) -> Range:
    values = constant(model.graph.initializers[name])
    return Range(float(values.min(initial=0.0)), float(values.max(initial=0.0)))


PASS = Pass(Params, static_activations)
