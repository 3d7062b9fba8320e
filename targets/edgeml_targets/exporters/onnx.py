"""ONNX: what ONNX Runtime, OpenVINO and TensorRT load. Integers stand in QDQ form, which their own fusions turn into kernels.

Steps, in this order: 1. a copy of the graph, its operators recent enough; 2. weights and biases, while activations still
have the float model's names; 3. activations; 4. what is not needed at run time goes; 5. checked, then written whole.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, RemoveInitializersFromInputsPass

from edgeml_targets.artifacts import reason
from edgeml_targets.contract.encodings import Encoding, Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.exporters.onnx_writer.activations import write_activations
from edgeml_targets.exporters.onnx_writer.graph import GraphWriter, narrow_enough
from edgeml_targets.exporters.onnx_writer.weights import write_weights
from edgeml_targets.models import checked_content, load_weights, raise_opset

MOST_ONE_FILE_BYTES: Final = (2 << 30) - (16 << 20)  # protobuf ends at 2 GiB; the graph itself needs a little
_LEAST_OPSET: Final = 13  # channel axes of QuantizeLinear and DequantizeLinear
_LEAST_OPSET_16_BITS: Final = 21
_LEAST_OPSET_4_BITS: Final = 21
_LEAST_IR_VERSION: Final = 8


class OnnxExporter:
    """Writes `.onnx` artifacts."""

    def export(self, model: ir.Model, encodings: Encodings, path: Path) -> None:
        """Write `model` at `path`: one file, with its weights in `<path>.data` beside it only from 2 GB up.

        Raises:
            EdgemlError: ONNX cannot express an encoding, or the file cannot be written.
        """
        _save(write_graph(model, encodings), path)


def write_graph(model: ir.Model, encodings: Encodings) -> ir.Model:
    """Return a copy of a prepared float graph with its tensors written as `encodings` says.

    Raises:
        EdgemlError: ONNX cannot express an encoding, or the graph cannot be raised to the opset that it needs.
    """

    written = _recent_copy(model, encodings)
    writer = GraphWriter(written)
    write_weights(writer, written, encodings)
    write_activations(writer, written, encodings)
    _drop_what_no_runtime_needs(written)
    return written


def _recent_copy(model: ir.Model, encodings: Encodings) -> ir.Model:

    least = 0
    if encodings.tensors or encodings.dynamic or encodings.float16:
        least = max(map(_least_opset, encodings.tensors.values()), default=_LEAST_OPSET)
    raised = raise_opset(model, least)
    copy = model.clone() if raised is model else raised
    RemoveInitializersFromInputsPass()(copy)  # a weight that a caller may override could not be folded
    copy.ir_version = max(copy.ir_version, _LEAST_IR_VERSION)
    return copy


def _least_opset(encoding: Encoding) -> int:
    if narrow_enough(encoding):
        return _LEAST_OPSET_4_BITS
    return _LEAST_OPSET_16_BITS if encoding.bits > 8 else _LEAST_OPSET


def _drop_what_no_runtime_needs(model: ir.Model) -> None:
    """Drop float weights that nobody reads any more, notes of the exporter, and inferred types: bytes on every device."""
    ClearMetadataAndDocStringPass()(model)
    model.metadata_props.clear()
    for graph in (model.graph, *model.graph.subgraphs()):
        kept = {*graph.inputs, *graph.outputs}
        for name, weight in list(graph.initializers.items()):
            if not weight.uses() and weight not in kept:
                del graph.initializers[name]
        for node in graph:
            for value in node.outputs:
                if value not in kept:
                    value.shape, value.type = None, None


def _save(model: ir.Model, path: Path) -> None:
    size = sum(w.const_value.nbytes for w in model.graph.initializers.values() if w.const_value is not None)
    if size > MOST_ONE_FILE_BYTES:
        _save_with_data(model, path)
        return
    load_weights(model)  # an artifact is one file, wherever the float model's weights lay
    proto = ir.to_proto(model)
    try:
        content = checked_content(proto)
    except onnx.checker.ValidationError as error:
        mend = "report this with the model, it is a fault of edgeml"
        raise EdgemlError(
            f"what was written breaks the rules of ONNX: {reason(error)}", where=str(path), mend=mend
        ) from error
    write_atomic(path, content)


def _save_with_data(model: ir.Model, path: Path) -> None:
    """Write the weights to `<path>.data` and then the graph, each whole; the data is there before the graph names it."""
    data = path.with_name(f"{path.name}.data")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        ir.save(model, Path(folder) / path.name, external_data=data.name)
        for made, final in ((Path(folder) / data.name, data), (Path(folder) / path.name, path)):
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(final)


EXPORTER: Final = OnnxExporter()
