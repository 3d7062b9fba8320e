"""onnx-neural-compressor's static quantization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "onnx-neural-compressor"
VENV: Final = "onnx-neural-compressor"
PACKAGE: Final = "onnx-neural-compressor"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "quantize(model, out, StaticQuantConfig(calibration_data_reader=reader))"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    from onnx_neural_compressor.quantization import config, quantize

    from peers.static_onnxruntime import Reader

    quantize(asked.model, asked.out, config.StaticQuantConfig(calibration_data_reader=Reader(asked.feeds())))
