"""Ours, for ONNX Runtime on CPUs that all have VNNI: what the portable artifact gives away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peers.ours import CALL as CALL
from peers.ours import compress_for

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "edgeml for VNNI alone"
VENV: Final = ""
PACKAGE: Final = "edgeml"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
TARGET: Final = "x86_64_vnni-onnxruntime"


def quantize(asked: Asked) -> dict[str, Any]:
    """Write the artifact."""
    return compress_for(TARGET, asked)
