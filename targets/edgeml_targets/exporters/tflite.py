"""Write a float ONNX graph and its encodings as a TFLite file for LiteRT, with inputs and outputs in float.

Example:
    >>> EXPORTER.export(read_model(Path("resnet8.onnx")), Encodings(), Path("resnet8.tflite"))
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

if TYPE_CHECKING:
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


class TfliteExporter:
    """Writes `.tflite` files."""

    def export(self, model: ir.Model, encodings: Encodings, path: Path) -> None:
        """Write `model` at `path`, whole; see `convert`."""
        write_atomic(path, convert(model, encodings).content)


EXPORTER: Final = TfliteExporter()
