"""Exporters: a file each writes a float ONNX graph and its encodings in the form of one format.

The folder is the list; each file ends in `EXPORTER = ...`. A runtime names its exporter through its suffix:
`.onnx` is written by `onnx.py`, `.tflite` by `tflite.py`.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError

if TYPE_CHECKING:
    import onnx_ir as ir


class Exporter(Protocol):
    """Writes artifacts of one format."""

    def export(self, model: ir.Model, encodings: Encodings, path: Path) -> None:
        """Write `model` at `path`, whole; it is a prepared float graph and is not changed.

        Raises:
            EdgemlError: The format cannot express an operator, which the error names.
        """


def find_exporter(suffix: str) -> Exporter:
    """Return the exporter that writes files which end in `suffix` (`.onnx`, `.tflite`).

    Raises:
        EdgemlError: There is none.
    """
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg)
    if suffix.removeprefix(".") not in names:
        raise EdgemlError("no exporter writes this format", where=suffix, mend=f"choose one of {', '.join(names)}")
    found: Exporter = importlib.import_module(f"{__name__}.{suffix.removeprefix('.')}").EXPORTER
    return found
