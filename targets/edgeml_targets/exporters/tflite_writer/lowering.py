"""From a float ONNX graph and its encodings to the bytes of a TFLite file.

1. What is known is noted: initializers and Constant nodes.
2. Every operator has a function in the registry, or all that have none are named in one error.
3. The encodings of what is concatenated are tied to the result's, so that nothing is rescaled on the way.
4. The graph's inputs are laid out as their readers want them.
5. Each node in turn is folded, or taken over by the one before it, or written by its operator's function.
6. The graph's outputs are brought to float, each in a tensor of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx_ir as ir
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op
from ai_edge_litert.schema_py_generated import ReshapeOptionsT

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import NotExpressed
from edgeml_targets.contract.layout import FIXED, METADATA_NAME, FixedInput, Metadata
from edgeml_targets.contract.layout import Port as MetadataPort
from edgeml_targets.contract.tensors import Tensor as ModelTensor
from edgeml_targets.exporters.tflite_writer.elements import element_type
from edgeml_targets.exporters.tflite_writer.flatbuffer import Port, Tensor, TfliteFile, Written
from edgeml_targets.exporters.tflite_writer.forms import Form, Forms
from edgeml_targets.exporters.tflite_writer.fusion import only_reader
from edgeml_targets.exporters.tflite_writer.layouts import Layout, file_shape, plain, without_gaps
from edgeml_targets.exporters.tflite_writer.nodes import (
    Walk,
    needed,
    note_constants,
    require_covered,
    write_late,
    write_nodes,
)
from edgeml_targets.exporters.tflite_writer.quantization import Declared
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible, naming_place
from edgeml_targets.exporters.tflite_writer.registry import entry_of
from edgeml_targets.exporters.tflite_writer.shapes import FREE, Shape

_CHANNELS_LAST_INPUT: Final[Mapping[int, Layout]] = {3: (0, 2, 1), 4: (0, 2, 3, 1)}
_CHANNELS_LAST_READERS: Final = frozenset({"Conv", "MaxPool", "AveragePool"})
_MOST_NODES_WRITTEN: Final = 4_000  # in search of fewer transpositions: half a second
_FREEST_OPSET: Final = 1 << 10  # a model without an opset of ONNX's own has no operators of it


def lower(model: ir.Model, encodings: Encodings) -> Written:
    """Return the TFLite file of a model; the model is not changed.

    A Transpose of the model gives axes other names, and whoever needs another order moves the elements. Where several
    readers would move the same, it is cheaper to move them once, in the Transpose: each is tried in turn, and kept where
    fewer transpositions are left.

    Args:
        model: A float graph whose weights are constants.
        encodings: What becomes integers or half precision, by the names of the graph's values.

    Raises:
        NotExpressed: An operator, or what a node asks of it, cannot be expressed; it names node and operator.
    """
    best = _written(model, encodings, frozenset())
    moving: frozenset[ir.Node] = frozenset()
    nodes = needed(model.graph)
    candidates = [node for node in nodes if node.op_type == "Transpose"]
    for node in candidates[: _MOST_NODES_WRITTEN // max(len(nodes), 1)]:
        if not best.transposes:
            break
        tried = _written(model, encodings, moving | {node})
        if tried.transposes < best.transposes:
            best, moving = tried, moving | {node}
    return best


def _written(model: ir.Model, encodings: Encodings, moving: frozenset[ir.Node]) -> Written:
    """Write a model; the Transpose nodes that are `moving` move their elements, the others do not."""
    graph = model.graph
    opset = model.opset_imports.get("", _FREEST_OPSET)
    forms = Forms(TfliteFile(), Declared(encodings))
    walk = Walk(forms, opset, frozenset(encodings.tensors))
    forms.moving = moving
    forms.write_late = lambda value: write_late(value, walk)
    nodes = needed(graph)
    note_constants(graph, forms)
    require_covered(nodes)
    _tie_concatenations(nodes, forms.declared)
    inputs = [_write_input(value, forms) for value in graph.inputs if not value.is_initializer()]
    write_nodes(nodes, walk)
    outputs = _write_outputs(graph.outputs, forms, {port.tensor for port, _ in inputs})
    metadata = Metadata(
        inputs=tuple(m for _, m in inputs), outputs=tuple(m for _, m in outputs), fixed=_fixed_inputs(graph)
    )
    return forms.file.finish([p for p, _ in inputs], [p for p, _ in outputs], {METADATA_NAME: metadata.to_json()})


def _write_input(value: ir.Value, forms: Forms) -> tuple[Port, MetadataPort]:
    name = value.name or ""
    if value.shape is None:
        raise NotExpressed(
            "its number of axes is not known", where=f"the input {name!r}", mend="export it with a shape"
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else FREE for size in value.shape.dims)
    layout = _wanted_layout(value, len(shape))
    with naming_place(f"the tensor {name!r}"):
        dtype = element_type(value.dtype, "it")
    tensor = forms.file.add(Tensor(file_shape(shape, layout), dtype, None, name))
    forms.add(value, Form(tensor, shape, layout, dtype))
    return Port(tensor, name), _metadata_port(value, shape, layout)


def _write_outputs(values: Iterable[ir.Value], forms: Forms, taken: set[int]) -> list[tuple[Port, MetadataPort]]:
    """Return each output as it is held, in a tensor that is no input and no other output."""
    written = []
    for value in values:
        name = value.name or ""
        with naming_place(f"the output {name!r}"):
            form = _held_output(value, forms)
            if form.tensor in taken:
                form = _copied(form, forms)
        for other in forms.held(value):
            if other.tensor not in taken and other.tensor != form.tensor:
                forms.file.rename(other.tensor, "")
        taken.add(form.tensor)
        forms.file.rename(form.tensor, name)
        written.append((Port(form.tensor, name), _metadata_port(value, form.shape, form.layout)))
    return written


def _fixed_inputs(graph: ir.Graph) -> tuple[FixedInput, ...]:
    """Return what `fix_inputs` made constants of numbers that were inputs."""
    fixed = [value for value in graph.initializers.values() if FIXED in value.metadata_props]
    known = [(str(value.name), value.const_value) for value in fixed]
    return tuple(FixedInput(name, value.numpy().item()) for name, value in known if value is not None)


def _held_output(value: ir.Value, forms: Forms) -> Form:
    """Return an output in the model's axes, in whichever order, as numbers of its own type."""
    if value in forms.constants:
        array = forms.constants[value]
        constant = Form(forms.file.constant(array), array.shape, plain(array.ndim), array.dtype)
        return _copied(constant, forms)
    held = forms.held(value)
    nearest = next((form for form in held if form.encoding is None), held[0])
    return forms.as_it_is(value, without_gaps(nearest.layout))


def _copied(form: Form, forms: Forms) -> Form:
    """Write a copy: a file's output must not be its input, a constant, or another output."""
    if form.file_shape.count(FREE) > 1:
        raise Inexpressible("it is an input, and more than one of its sizes is free")
    sizes = forms.file.constant(np.array(form.file_shape, np.int32))
    return forms.emit(Op.RESHAPE, [form.tensor, sizes], form, ReshapeOptionsT(newShape=list(form.file_shape)))


def _metadata_port(value: ir.Value, shape: Shape, layout: Layout) -> MetadataPort:
    permutation = () if layout == plain(len(shape)) else without_gaps(layout)
    dtype = "float32" if value.dtype is None else str(value.dtype.numpy())
    return MetadataPort(ModelTensor(value.name or "", dtype, shape), permutation)


def _tie_concatenations(nodes: Iterable[ir.Node], declared: Declared) -> None:
    """Let what only a Concat reads be made in the steps of its result, by LiteRT's rule of one scale for all."""
    for node in nodes:
        encoding = declared.activation(node.outputs[0]) if node.op_type == "Concat" else None
        for value in node.inputs if encoding is not None else ():
            if value is not None and encoding is not None and only_reader(value) is node:
                declared.tie(value, encoding)


def _wanted_layout(value: ir.Value, rank: int) -> Layout:
    """Return the order in which the readers of an input want its axes, the batch first."""
    if _reaches_channels_last(value):
        return _CHANNELS_LAST_INPUT.get(rank, plain(rank))
    readers = {use.node for use in value.uses() if use.node.op_type not in ("Shape", "Size")}
    reader = next(iter(readers), None)
    if reader is None or reader.op_type != "Transpose" or len(readers) > 1 or value.is_graph_output():
        return plain(rank)
    order = reader.attributes.get_ints("perm", tuple(reversed(range(rank))))
    found = [order[axis] for axis in without_gaps(_wanted_layout(reader.outputs[0], rank))]
    return (0, *(axis for axis in found if axis != 0))


def _reaches_channels_last(value: ir.Value) -> bool:
    """Tell whether a convolution or pooling reads a value, at once or through operators that take any layout."""
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        for node in {use.node for use in current.uses()}:
            if node.op_type in _CHANNELS_LAST_READERS:
                return True
            entry = entry_of(node.domain, node.op_type)
            if entry is not None and entry.any_layout and node.op_type != "Transpose":
                waiting += node.outputs
    return False
