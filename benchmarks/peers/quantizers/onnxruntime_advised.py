"""ONNX Runtime's static quantization, as it advises for x86 with VNNI: not its default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "ONNX Runtime MinMax, unsigned"
VENV: Final = "onnxruntime"
PACKAGE: Final = "onnxruntime"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "quant_pre_process, then quantize_static(model, out, reader, activation_type=QUInt8, weight_type=QInt8), as advised for x86 with VNNI"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    from onnxruntime.quantization import QuantType

    from peers.static_onnxruntime import quantize_statically

    quantize_statically(asked, "MinMax", activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
