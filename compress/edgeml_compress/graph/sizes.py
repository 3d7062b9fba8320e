"""Which tensors have a size that depends on the data: those may be empty for one sample and full for the next.

A size that follows from the sizes of the inputs, such as a free batch, does not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.removing import bodies

CHOOSES: Final[Mapping[str, tuple[int, ...]]] = {
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Compress": (1,),
    "ConstantOfShape": (0,),
    "DFT": (1,),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1),
    "NonMaxSuppression": (0, 1, 2, 3, 4),
    "NonZero": (0,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Resize": (2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "StringSplit": (0,),
    "Tile": (1,),
    "TopK": (1,),
    "Unique": (0,),
    "Upsample": (1,),
}
"""Operators whose output has a size that the content of these inputs decides."""
SEQUENCES: Final = frozenset({"ConcatFromSequence", "SequenceAt", "SplitToSequence"})


def sized_by_data(model: ir.Model) -> set[ir.Value]:
    """Return the tensors of the main graph whose size the content of an input decides, and all that follows from them.

    Where shapes were inferred, a result of a known shape ends it: a sum over all elements has one size again.

    Args:
        model: A prepared graph.
    """
    computed = set(model.graph.inputs)  # whose content depends on the data
    sized: set[ir.Value] = set()
    for node in model.graph:
        inputs = _read(node)
        free = any(value in sized for value in inputs)
        content = free if node.op_type in ("Shape", "Size") else any(value in computed for value in inputs)
        if content:
            computed.update(node.outputs)
        if node.op_type not in ("Shape", "Size") and (free or (content and _chooses(node, computed))):
            sized.update(value for value in node.outputs if not _is_known(value))
    return sized


def _read(node: ir.Node) -> list[ir.Value]:
    """Return what a node reads, also in its bodies."""
    inner = [value for body in bodies(node) for deeper in body for value in deeper.inputs]
    return [value for value in (*node.inputs, *inner) if value is not None]


def _chooses(node: ir.Node, computed: set[ir.Value]) -> bool:
    if node.op_type in SEQUENCES or node.op_type == "Loop":
        return True
    if node.op_type == "If":
        return _branches_differ(node) or any(n.op_type in CHOOSES for body in bodies(node) for n in body)
    indexes = CHOOSES.get(node.op_type, ()) if node.domain == "" else ()
    return any(node.inputs[i] in computed for i in indexes if i < len(node.inputs))


def _branches_differ(node: ir.Node) -> bool:
    shapes = [[value.shape for value in a.as_graph().outputs] for a in node.attributes.values()]
    return any(None in found or found != shapes[0] for found in shapes)


def _is_known(value: ir.Value) -> bool:
    """Tell whether a tensor's size was inferred; what is declared of an output is often what one example gave."""
    return value.shape is not None and value.shape.is_static() and not value.is_graph_output()
