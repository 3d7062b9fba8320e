"""Leave out the initial state of a recurrent layer where it is all zeros: that is what a layer without one begins with.

Exports write the zeros out, as large as the batch asks. A runtime then computes them at each inference, and LiteRT, which
unrolls the layer, a product with them besides.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_compress.rewrites import Said

SAID: Final = Said("Left out {}.", "initial zero state", "A recurrent layer without one begins with zeros.")
STATES: Final = {"GRU": (5,), "RNN": (5,), "LSTM": (5, 6)}
"""Operator -> which inputs are its states."""
MOVES: Final = frozenset("Expand Identity Reshape Slice Squeeze Tile Transpose Unsqueeze".split())
"""Operators whose results are zeros where their first input is."""


def drop_zero_states(model: ir.Model) -> int:
    """Leave out states that are zeros, and return how many those were."""
    dropped = 0
    for node in (node for graph in graphs(model) for node in graph if node.domain == ""):
        for index in STATES.get(node.op_type, ()):
            state = node.inputs[index] if index < len(node.inputs) else None
            if state is not None and _is_zero(state):
                node.replace_input_with(index, None)
                dropped += 1
    return dropped


def _is_zero(value: ir.Value) -> bool:
    """Tell whether every element is 0, whatever its shape."""
    maker = value.producer()
    if maker is None:
        known = None if value.is_graph_input() else value.const_value
        return known is not None and not known.numpy().any()
    if maker.op_type == "ConstantOfShape" and maker.domain == "":
        filler = maker.attributes.get("value")
        return filler is None or not filler.as_tensor().numpy().any()
    given = maker.inputs[0] if maker.op_type in MOVES and maker.domain == "" else None
    return given is not None and _is_zero(given)
