"""Write an encoded activation as a pair of QuantizeLinear and DequantizeLinear behind what gives it.

Runtimes pull the pairs into their integer kernels: ONNX Runtime a Conv between two pairs into QLinearConv, OpenVINO likewise.
"""

from __future__ import annotations

from typing import Final

import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters.onnx_writer.graph import (
    GraphWriter,
    all_values,
    axis_of,
    insert_at_head,
    is_constant,
    scales,
    zero_points,
)

_WHOLE_TYPES: Final = (8, 16)  # QuantizeLinear saturates where its type ends, not earlier


def write_activations(writer: GraphWriter, model: ir.Model, encodings: Encodings) -> None:
    """Give every encoded activation its pair; whoever read the activation reads the pair.

    Raises:
        EdgemlError: An encoding does not use the whole range of its integer type.
    """
    for value in all_values(model):
        if value.name is not None and not is_constant(value) and (encoding := encodings.tensors.get(value.name)):
            _write_pair(writer, value, encoding)


def _write_pair(writer: GraphWriter, value: ir.Value, encoding: Encoding) -> None:
    name = str(value.name)
    if encoding.bits not in _WHOLE_TYPES or encoding.narrow:
        what = f"activations of {encoding.bits} bits{', narrow,' if encoding.narrow else ''} have no form in ONNX"
        raise EdgemlError(what, where=name, mend="use the whole range of 8 or 16 bits")
    readers, producer, graph = value.uses(), value.producer(), value.graph
    scale, zero = writer.constant(scales(encoding), f"{name}_s"), writer.constant(zero_points(encoding), f"{name}_z")
    quantize = writer.node("QuantizeLinear", [value, scale, zero], [f"{name}_q"], axis_of(encoding))
    dequantize = writer.node("DequantizeLinear", [quantize.outputs[0], scale, zero], [f"{name}_d"], axis_of(encoding))
    for reader in readers:
        reader.node.replace_input_with(reader.idx, dequantize.outputs[0])
    if graph is not None:
        _place(graph, producer, [quantize, dequantize])
        if value in graph.outputs:
            _give_instead(writer, graph, value, dequantize.outputs[0])


def _place(graph: ir.Graph | ir.Function, producer: ir.Node | None, nodes: list[ir.Node]) -> None:
    if producer is not None:
        graph.insert_after(producer, nodes)
    elif isinstance(graph, ir.Graph):
        insert_at_head(graph, nodes)


def _give_instead(writer: GraphWriter, graph: ir.Graph | ir.Function, old: ir.Value, new: ir.Value) -> None:
    """Make `new` the graph's output in place of `old`, under its name."""
    name = old.name
    new.shape, new.type = old.shape, old.type
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = new
    old.name = writer.fresh(f"{name}_f")
    new.name = name
