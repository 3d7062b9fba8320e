"""Simulate integers in float: a graph that answers what its artifact would, with every tensor still under its own name.

Weights are moved to their grid; an encoded activation is rounded where it is read. So what a pass measures here rests on
the encodings alone, not on one runtime's kernels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant
from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.exporters.rounded import integers_of

DOMAIN: Final = "com.microsoft"  # its QuantizeLinear takes 8 and 16 bits whatever the model's opset


def simulated(model: ir.Model, encodings: Encodings) -> ir.Model:
    """Return a copy of a prepared graph, to be run in ONNX Runtime, that computes with the values `encodings` can tell apart.

    Dynamic activations and half precision are left in float32: their error is small beside that of static integers.
    """
    copy = model.clone()
    copy.graph.opset_imports.setdefault(DOMAIN, 1)
    for value in list(copy.graph.initializers.values()):
        if (encoding := encodings.tensors.get(str(value.name))) is not None and is_constant(value):
            value.const_value = ir.tensor(encoding.dequantize(integers_of(value, encoding)), name=value.name)
    made = (output for node in list(copy.graph) for output in node.outputs)
    for value in [*copy.graph.inputs, *made]:
        if (encoding := encodings.tensors.get(str(value.name))) is not None:
            _round_where_read(copy.graph, value, encoding)
    return copy


def on_grid(encoding: Encoding, values: np.typing.NDArray[np.floating]) -> np.typing.NDArray[np.float32]:
    """Return the points of an encoding's grid that are nearest to `values`, of the same shape."""
    return encoding.dequantize(encoding.quantize(values))


def _round_where_read(graph: ir.Graph, value: ir.Value, encoding: Encoding) -> None:
    readers, producer = value.uses(), value.producer()
    parameters = [_scalar(graph, f"{value.name}_sim_s", np.float32(encoding.scale[0]))]
    parameters.append(_scalar(graph, f"{value.name}_sim_z", encoding.dtype.type(encoding.zero_point[0])))
    integers, rounded = ir.Value(name=f"{value.name}_sim_q"), ir.Value(name=f"{value.name}_sim_d")
    rounded.type, rounded.shape = value.type, value.shape
    nodes = [
        ir.node("QuantizeLinear", [value, *parameters], domain=DOMAIN, outputs=[integers]),
        ir.node("DequantizeLinear", [integers, *parameters], domain=DOMAIN, outputs=[rounded]),
    ]
    for reader in readers:
        reader.node.replace_input_with(reader.idx, rounded)
    if producer is not None:
        graph.insert_after(producer, nodes)
    elif (first := next(iter(graph), None)) is not None:
        graph.insert_before(first, nodes)


def _scalar(graph: ir.Graph, name: str, number: np.generic) -> ir.Value:
    tensor = ir.tensor(np.asarray(number), name=name)
    value = ir.Value(name=name, shape=ir.Shape([]), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value
