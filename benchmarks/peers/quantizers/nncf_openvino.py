"""NNCF's post-training quantization of a model that OpenVINO has read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "NNCF on OpenVINO"
VENV: Final = "nncf"
PACKAGE: Final = "nncf"
RUNTIME: Final = "openvino"
SUFFIX: Final = ".xml"
CALL: Final = "nncf.quantize(model, nncf.Dataset(samples)), openvino.save_model"


def quantize(asked: Asked) -> None:
    """Write the artifact, an IR: its weights lie beside it."""
    import nncf
    import openvino

    model = openvino.Core().read_model(asked.model)
    openvino.save_model(nncf.quantize(model, nncf.Dataset(asked.feeds())), asked.out)
