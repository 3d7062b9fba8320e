"""What the four ways of ONNX Runtime's static quantization share; imported in its own environment only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peers.quantize_once import Asked


class Reader:
    """Hands out one sample after the other, as both ONNX Runtime and its offspring ask for them."""

    def __init__(self, feeds: list[dict[str, Any]]) -> None:
        self._feeds = feeds
        self.rewind()

    def get_next(self) -> dict[str, Any] | None:
        """Return the next sample, or `None` after the last."""
        return next(self._left, None)

    def rewind(self) -> None:
        """Begin again."""
        self._left = iter(self._feeds)


def quantize_statically(asked: Asked, method: str, **arguments: Any) -> None:
    """Pre-process, then quantize, as the documentation shows it.

    Args:
        asked: The model and its samples.
        method: A name in `CalibrationMethod`.
        arguments: Of `quantize_static` that are not its defaults.
    """
    from onnxruntime.quantization import CalibrationMethod, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(asked.model, str(prepared))
        reader = Reader(asked.feeds())
        quantize_static(str(prepared), asked.out, reader, calibrate_method=CalibrationMethod[method], **arguments)
