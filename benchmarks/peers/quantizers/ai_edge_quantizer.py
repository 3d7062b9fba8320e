"""ai-edge-quantizer's static recipe on a LiteRT model, which our exporter wrote in float."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "ai-edge-quantizer"
VENV: Final = "ai-edge-quantizer"
PACKAGE: Final = "ai-edge-quantizer"
RUNTIME: Final = "litert"
SUFFIX: Final = ".tflite"
CALL: Final = "Quantizer(model, recipe.static_wi8_ai8()), calibrate, quantize; inputs and outputs stay float, as every other artifact's are"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    signature = next(iter(Interpreter(model_path=asked.model).get_signature_list()))
    work = quantizer.Quantizer(asked.model, recipe.static_wi8_ai8())
    for port in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        work.update_quantization_recipe(regex=".*", operation_name=port, algorithm_key=AlgorithmName.NO_QUANTIZE)
    result = work.calibrate({signature: asked.feeds()})
    work.quantize(result).export_model(asked.out)
