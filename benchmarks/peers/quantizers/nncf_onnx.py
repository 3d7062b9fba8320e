"""NNCF's post-training quantization of an ONNX model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "NNCF on ONNX"
VENV: Final = "nncf"
PACKAGE: Final = "nncf"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "nncf.quantize(model, nncf.Dataset(samples))"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    import nncf
    import onnx

    quantized = nncf.quantize(onnx.load(asked.model), nncf.Dataset(asked.feeds()))
    onnx.save(quantized, asked.out)
