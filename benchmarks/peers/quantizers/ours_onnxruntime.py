"""Ours, for ONNX Runtime on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peers.ours import CALL as CALL
from peers.ours import compress_for

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "edgeml"
VENV: Final = ""
PACKAGE: Final = "edgeml"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
TARGET: Final = "x86_64-onnxruntime"


def quantize(asked: Asked) -> dict[str, Any]:
    """Write the artifact."""
    return compress_for(TARGET, asked)
