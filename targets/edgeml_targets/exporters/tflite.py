"""Write a float ONNX graph and its encodings as a TFLite file for LiteRT, with inputs and outputs in float.

Example:
    >>> EXPORTER.export(read_model(Path("resnet8.onnx")), Encodings(), Path("resnet8.tflite"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.layout import FIXED

if TYPE_CHECKING:
    import numpy.typing as npt
    import onnx_ir as ir

    from edgeml_targets.exporters.tflite_writer.flatbuffer import Written


def convert(model: ir.Model, encodings: Encodings) -> Written:
    """Return a model as a TFLite file in memory; its `transposes` count what only moves elements.

    Args:
        model: A float graph with an opset of 9 or later; sizes that are names (the batch) stay free.
        encodings: Which tensors become int8 (activations and weights), float16, or are scaled at each inference.

    Raises:
        EdgemlError: LiteRT cannot express an operator, which the error names with its node, or is not installed.
    """
    try:
        from edgeml_targets.exporters.tflite_writer.lowering import lower
    except ImportError as error:
        what = f"writing .tflite files needs {error.name}, which is not installed"
        raise EdgemlError(what, where="the LiteRT writer", mend="pip install 'edgeml[litert]'") from error
    return lower(model, encodings)


def fix_inputs(
    model: ir.Model, shapes: Mapping[str, Sequence[int]], values: Mapping[str, npt.NDArray[Any]] | None = None
) -> ir.Model:
    """Return a copy of a model that takes inputs of these shapes only; what LiteRT cannot leave free becomes possible.

    Args:
        model: Any model; it is not changed.
        shapes: By an input's name, -1 for a size that stays free.
        values: Inputs that become constants, such as a sampling rate; the copy has them no more. A session of the file
            refuses another value of those that are one number.

    Raises:
        EdgemlError: There is no input of that name, or it has another number of axes.

    Example:
        >>> convert(fix_inputs(model, {"input": (-1, 576)}, {"sr": np.array(16000)}), Encodings())
    """
    import onnx_ir as ir

    fixed = model.clone()
    inputs = {value.name: value for value in fixed.graph.inputs}
    for name in (*shapes, *(values or {})):
        if name not in inputs:
            known = ", ".join(sorted(str(known) for known in inputs))
            raise EdgemlError("there is no such input", where=f"the input {name!r}", mend=f"choose one of {known}")
    for name, shape in shapes.items():
        value = inputs[name]
        if value.shape is not None and len(value.shape) != len(shape):
            what = f"it has {len(value.shape)} axes, {tuple(shape)} has {len(shape)}"
            raise EdgemlError(what, where=f"the input {name!r}", mend="give a size for each axis")
        value.shape = ir.Shape([None if size < 0 else size for size in shape])
    for name, array in (values or {}).items():
        value = inputs[name]
        fixed.graph.inputs.remove(value)
        value.const_value = ir.tensor(array, name=name)
        if array.size == 1:
            value.metadata_props[FIXED] = "yes"
        fixed.graph.register_initializer(value)
    return fixed


def count_transposes(path: Path) -> int:
    """Return how many operators of a TFLite file do nothing but move elements to another layout.

    Raises:
        EdgemlError: The file is missing, or no TFLite file.
    """
    from ai_edge_litert import schema_py_generated as schema

    from edgeml_targets.artifacts import MAKE_AGAIN, read_head, what_it_is

    head = read_head(path)
    if head[4:8] != b"TFL3":
        raise EdgemlError(what_it_is(head, "a TFLite file"), where=str(path), mend=MAKE_AGAIN)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    codes = [code.builtinCode for code in model.operatorCodes]
    moves = (
        codes[node.opcodeIndex] == schema.BuiltinOperator.TRANSPOSE for g in model.subgraphs for node in g.operators
    )
    return sum(moves)


class TfliteExporter:
    """Writes `.tflite` files."""

    def export(self, model: ir.Model, encodings: Encodings, path: Path) -> None:
        """Write `model` at `path`, whole; see `convert`."""
        write_atomic(path, convert(model, encodings).content)


EXPORTER: Final = TfliteExporter()
