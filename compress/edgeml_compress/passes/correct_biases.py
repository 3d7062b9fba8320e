"""Correct biases: what rounding shifts an output channel by on average is taken from its bias, at no cost at run time.

Comes after everything that rounds. Layers are corrected in the graph's order, each with those before it corrected already.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from pydantic import Field

from edgeml_compress.graph.layers import constant, is_constant, name_of, sole_user
from edgeml_compress.graph.naming import Constants
from edgeml_compress.layerwise.shifts import channel_shifts
from edgeml_compress.layerwise.walk import encoded
from edgeml_compress.observers import Range
from edgeml_compress.passes import Draft, Pass
from edgeml_compress.passes.static_activations import encode
from edgeml_compress.placement import node_name
from edgeml_targets.contract.encodings import Encoding

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Params:
    """Parameters of `correct_biases`.

    Args:
        samples: Most samples that the mean error is taken over; fewer where their activations would not fit into memory.
    """

    samples: Annotated[int, Field(ge=1)] = 64


def correct_biases(draft: Draft, params: Params) -> Draft:
    """Take the mean error of each output channel of each layer with an encoded weight from its bias.

    A Conv or Gemm without a bias gets one; a MatMul has one only where a constant is added right behind it.

    Raises:
        EdgemlError: There is something to correct, and the draft has no samples.

    Source: Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix D (empirical, sequential); Banner et al. 2019,
    arXiv:1810.05723, section 4.
    """
    shifts = channel_shifts(draft, params.samples, _has_bias)
    left = [node for node in draft.model.graph if encoded(node, draft) and not _has_bias(node)]
    notes = tuple(f"{node.op_type} {node_name(node)}: has no bias to correct" for node in left)
    return _applied(dataclasses.replace(draft, notes=draft.notes + notes), shifts)


def _has_bias(node: ir.Node) -> bool:
    """Tell whether a layer has, or can have, a constant bias a channel."""
    if node.op_type == "MatMul":  # of a weight with one axis there are no channels: the last axis may be the batch
        weight = node.inputs[1]
        return weight is not None and weight.shape is not None and len(weight.shape) > 1 and _added(node) is not None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type == "Gemm" and bias is not None and node.attributes.get_float("beta", 1.0) == 0.0:
        return False
    return bias is None or is_constant(bias)


def _added(node: ir.Node) -> tuple[ir.Node, int] | None:
    """Return the addition right behind a MatMul, and which of its inputs is the constant."""
    addition = sole_user(node.outputs[0])
    if addition is None or addition.op_type != "Add" or addition.domain:
        return None
    index = 1 if addition.inputs[0] is node.outputs[0] else 0
    other = addition.inputs[index]
    return (addition, index) if other is not None and is_constant(other) else None


def _applied(draft: Draft, shifts: dict[str, Floats]) -> Draft:
    """Return the draft with shifted biases: constants of their own, since a bias may be shared."""
    model, tensors = draft.model.clone(), dict(draft.encodings.tensors)
    constants = Constants(model)
    for node in [n for n in model.graph if n.outputs[0].name in shifts]:
        shift = shifts[name_of(node.outputs[0])]
        reader, index = node, 2
        if node.op_type == "MatMul":
            reader, index = _added(node) or (node, 2)
        if node.op_type == "Gemm":
            shift = shift / node.attributes.get_float("beta", 1.0)
        bias = reader.inputs[index] if len(reader.inputs) > index else None
        before = np.zeros(1) if bias is None else np.float64(constant(bias))
        made = constants.add(f"{node.outputs[0].name}_cb", (before + shift).astype(np.float32))
        reader.resize_inputs(max(len(reader.inputs), index + 1))
        reader.replace_input_with(index, made)
        if bias is not None and bias.name in tensors:  # an addition's constant is written as integers, too
            values = constant(made)
            tensors[name_of(made)] = _rewritten(values, tensors[name_of(bias)], draft)
    for bias in [v for v in model.graph.initializers.values() if not v.uses() and not v.is_graph_output()]:
        tensors.pop(name_of(bias), None)
        del model.graph.initializers[name_of(bias)]
    encodings = msgspec.structs.replace(draft.encodings, tensors=tensors)
    return dataclasses.replace(draft, model=model, encodings=encodings, reference=draft.plain)


def _rewritten(values: npt.NDArray[np.float32], before: Encoding, draft: Draft) -> Encoding:
    return encode(Range(float(values.min()), float(values.max())), draft.scheme, before.bits)


PASS = Pass(Params, correct_biases)
