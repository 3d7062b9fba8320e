"""ONNX Runtime's static quantization, ranges from the extremes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "ONNX Runtime MinMax"
VENV: Final = "onnxruntime"
PACKAGE: Final = "onnxruntime"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "quant_pre_process, then quantize_static(model, out, reader)"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    from peers.static_onnxruntime import quantize_statically

    quantize_statically(asked, "MinMax")
