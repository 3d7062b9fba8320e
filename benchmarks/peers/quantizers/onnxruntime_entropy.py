"""ONNX Runtime's static quantization, ranges by entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "ONNX Runtime Entropy"
VENV: Final = "onnxruntime"
PACKAGE: Final = "onnxruntime"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "quant_pre_process, then quantize_static(model, out, reader, calibrate_method=Entropy)"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    from peers.static_onnxruntime import quantize_statically

    quantize_statically(asked, "Entropy")
