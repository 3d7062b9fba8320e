"""Read ONNX files that come from outside, and turn a model into the file that a target's runtime loads.

A file is hostile until `read_model` has returned: missing, empty, no ONNX at all, cut off, damaged, or without its
external data. Each is an `EdgemlError` that names the file. Host only: it needs onnx and onnx-ir.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeml_targets.artifacts import EXPORT_FROM_TORCH, MAKE_AGAIN, is_torch, read_head, reason, what_it_is
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.exporters import find_exporter
from edgeml_targets.target import Target

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir


TORCH: Final = "a PyTorch file, not an ONNX file"


def read_model(path: Path) -> ir.Model:
    """Read and check an ONNX file; weights in external data stay on the disk until they are asked for.

    Args:
        path: An ONNX file; its external data, where it has any, lies beside it.

    Raises:
        EdgemlError: It is missing, empty, no ONNX file, cut off, breaks ONNX's rules, or its external data is not whole.

    Example:
        >>> read_model(Path("mobilenet.onnx"))
        Traceback (most recent call last):
        edgeml_targets.contract.errors.EdgemlError: mobilenet.onnx: no such file; check the path
    """
    import onnx_ir as ir
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx.checker import ValidationError

    head = read_head(path)
    try:
        model = ir.from_proto(_checked(path))  # first, for onnx-ir mends what it can and would log each fault
        ir.external_data.set_base_dir(model.graph, path.parent)
        _hold_weights(model, path)
    except (DecodeError, ValidationError, ir.serde.SerdeError, ValueError, TypeError, KeyError) as error:
        if is_torch(path, head):
            raise EdgemlError(TORCH, where=str(path), mend=EXPORT_FROM_TORCH) from error
        raise EdgemlError(_why_not(path, head, error), where=str(path), mend=MAKE_AGAIN) from error
    if not model.graph.outputs:
        raise EdgemlError("the model has no outputs", where=str(path), mend=MAKE_AGAIN)
    return model


def checked_content(proto: onnx.ModelProto) -> bytes:
    """Hold a model to ONNX's rules, but for the shapes of inputs and outputs: runtimes do without, and shipped files lack some.

    Returns:
        The bytes of its message.

    Raises:
        onnx.checker.ValidationError: It breaks one.
    """
    import onnx

    content: bytes = proto.SerializeToString()
    shapeless = _without_shape(proto)
    for tensor in shapeless:
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(proto if shapeless else content)
    finally:
        for tensor in shapeless:
            tensor.ClearField("shape")
    return content


def files_of(model: Path) -> tuple[Path, ...]:
    """Return a model's or an artifact's files: itself first, then those in which an ONNX file keeps weights, sorted.

    Where the packages that read ONNX are not installed, as on a device, that is the file alone: what we make is one file.
    """
    if model.suffix != ".onnx" or importlib.util.find_spec("onnx_ir") is None:
        return (model,)
    import onnx_ir as ir

    return (model, *files_beside(ir.load(model)))


def files_beside(model: ir.Model) -> tuple[Path, ...]:
    """Return the files in which a model that was read keeps weights, sorted."""
    import onnx_ir as ir

    weights = (value.const_value for value in _initializers(model))
    return tuple(sorted({Path(weight.path) for weight in weights if isinstance(weight, ir.ExternalTensor)}))


def size_of(model: Path) -> int:
    """Return the bytes that all files of a model take, see `files_of`."""
    return sum(file.stat().st_size for file in files_of(model))


def digest_of(model: Path) -> str:
    """Return the SHA-256 of a model: of its file or, where weights lie in others, of the SHA-256 of each in order, in hex."""
    digests = [sha256_of(file) for file in files_of(model)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def model_tensors(model: ir.Model) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return a model's inputs and outputs; an initializer that is also listed as an input is none.

    A shape has -1 where any size is taken, and is empty where not even the rank is known.

    Raises:
        EdgemlError: An input or output is no tensor, or its element type is not given.
    """
    weights = model.graph.initializers
    inputs = tuple(_tensor(value, model) for value in model.graph.inputs if value.name not in weights)
    return inputs, tuple(_tensor(value, model) for value in model.graph.outputs)


def load_weights(model: ir.Model) -> None:
    """Read the weights that lie in files beside the model into it, in place.

    onnx-ir's own `load_to_model` also closes each mapped file: that fails while an array that was handed out points into it, and
    clones share the tensor whose file it closes.
    """
    import onnx_ir as ir

    for graph in model.graphs():
        for value in graph.initializers.values():
            weight = value.const_value
            if isinstance(weight, ir.ExternalTensor):
                value.const_value = ir.Tensor(weight.numpy().copy(), name=weight.name, dtype=weight.dtype)


def float_artifact(model: Path, target: Target, folder: Path) -> Path:
    """Return the file that a target's runtime loads for a model as it is, without compression.

    Args:
        model: An ONNX file, or an artifact of ours in the target's own format, which is returned as it is.
        target: Where it is to run.
        folder: Where a file is written when the runtime does not read ONNX: `<model>.float32<suffix>`.

    Raises:
        EdgemlError: There is no such file, it is in another runtime's format, or the target lacks one of its operators.
    """
    head = read_head(model)
    if model.suffix == target.suffix:
        return model
    if is_torch(model, head):
        raise EdgemlError(TORCH, where=str(model), mend=EXPORT_FROM_TORCH)
    if model.suffix != ".onnx":
        what = f"a {model.suffix or 'nameless'} file, and {target.name} runs {target.suffix}"
        raise EdgemlError(what, where=str(model), mend="give the ONNX file, or a target of the artifact's own runtime")
    exporter = find_exporter(target.suffix)
    artifact = folder / f"{model.stem}.float32{target.suffix}"
    exporter.export(read_model(model), Encodings(), artifact)
    return artifact


def raise_opset(model: ir.Model, least: int) -> ir.Model:
    """Return `model` with ONNX's own operators at version `least` or later; it is itself returned when it is there already.

    Raises:
        EdgemlError: ONNX's converter cannot bring one of the operators there.
    """
    import onnx
    import onnx_ir as ir

    version = model.opset_imports.get("", 0)
    if version >= least:
        return model
    if any(isinstance(value.const_value, ir.ExternalTensor) for value in _initializers(model)):
        model = model.clone()
        load_weights(model)  # the converter sees a message, not the files beside it
    try:
        converted = onnx.version_converter.convert_version(ir.to_proto(model), least)
    except (RuntimeError, ValueError) as error:
        name = model.graph.name or "the model"
        what = f"its operators cannot be raised from opset {version} to {least}: {reason(error)}"
        raise EdgemlError(what, where=name, mend=f"export it again with opset {least} or later") from error
    return ir.from_proto(converted)


def _checked(path: Path) -> onnx.ModelProto:
    """Read a file's message, without external data, and hold it to ONNX's rules."""
    import onnx

    try:
        onnx.checker.check_model(str(path))  # by its path, so that external data is looked for
    except onnx.checker.ValidationError:
        proto = onnx.load(str(path), load_external_data=False)
        if not _without_shape(proto):
            raise
        checked_content(proto)
    else:
        proto = onnx.load(str(path), load_external_data=False)
    sparse = next(_sparse_constants(proto.graph), None)
    if sparse is not None:
        what = f"it holds a sparse constant ({sparse}), which few runtimes take"
        raise EdgemlError(what, where=str(path), mend="export the model with dense weights")
    return proto


def _sparse_constants(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (constant.values.name for constant in graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                yield node.output[0]
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _sparse_constants(body)


def _without_shape(proto: onnx.ModelProto) -> list[onnx.TypeProto.Tensor]:
    ports = [port.type for port in (*proto.graph.input, *proto.graph.output)]
    return [p.tensor_type for p in ports if p.HasField("tensor_type") and not p.tensor_type.HasField("shape")]


def _why_not(path: Path, head: bytes, error: Exception) -> str:
    """Say why a file was refused: what it is instead of ONNX, what it lacks, or which rule it breaks."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        return what_it_is(head, "an ONNX file")
    for weight in proto.graph.initializer:
        location = next((entry.value for entry in weight.external_data if entry.key == "location"), None)
        if location is not None and not (path.parent / location).is_file():
            return f"its external data {location} is missing (weight {weight.name})"
    return f"breaks the rules of ONNX: {reason(error)}"


def _hold_weights(model: ir.Model, path: Path) -> None:
    """Hold the weights of the file itself as arrays, for whoever reads one from protobuf's message copies it each time.

    Tensors that attributes hold are taken, too: one of them that is left keeps the whole message in memory.

    Raises:
        EdgemlError: A weight's bytes are not all there; external ones are looked at, not read.
        ValueError: The bytes of one are not as many as its shape asks.
    """
    import onnx_ir as ir

    for value in _initializers(model):
        weight = value.const_value
        if isinstance(weight, ir.ExternalTensor):
            needed = (weight.offset or 0) + (weight.length if weight.length is not None else weight.nbytes)
            file = Path(weight.path)
            size = file.stat().st_size if file.is_file() else 0
            if size < needed:
                what = f"its external data {weight.location} has {size} of {needed} bytes (weight {weight.name})"
                raise EdgemlError(what, where=str(path), mend="keep both files together, or export the model again")
        elif weight is not None:
            value.const_value = _held(weight)
    graphs: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for node in (node for graph in graphs for node in ir.traversal.RecursiveGraphIterator(graph)):
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                node.attributes[name] = ir.AttrTensor(name, _held(attribute.as_tensor()))


def _held(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """Return a tensor that holds an array of its own; one whose values lie beside the file as it is."""
    import onnx_ir as ir

    if isinstance(tensor, ir.ExternalTensor):
        return tensor
    array, notes = tensor.numpy(), dict(tensor.metadata_props)
    if tensor.dtype == ir.DataType.STRING:
        return ir.StringTensor(
            array, shape=ir.Shape(array.shape), name=tensor.name, doc_string=tensor.doc_string, metadata_props=notes
        )
    return ir.Tensor(array, tensor.dtype, name=tensor.name, doc_string=tensor.doc_string, metadata_props=notes)


def _initializers(model: ir.Model) -> Iterator[ir.Value]:
    graphs: Sequence[ir.Graph] = [model.graph, *model.graph.subgraphs()]
    for graph in graphs:
        yield from graph.initializers.values()


def _tensor(value: ir.Value, model: ir.Model) -> Tensor:
    import onnx_ir as ir

    if not isinstance(value.type, ir.TensorType) or value.dtype is None or value.name is None:
        where = model.graph.name or "the model"
        what = f"{value.name or 'an input'} is no tensor of a known element type"
        raise EdgemlError(what, where=where, mend="export the model with typed tensors")
    dims: Iterable[Any] = value.shape if value.shape is not None else ()
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in dims)
    return Tensor(value.name, "str" if value.dtype == ir.DataType.STRING else str(value.dtype.numpy()), shape)
