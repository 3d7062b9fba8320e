"""Make a model small and fast for targets, within an accuracy budget: calibrate, quantize, export, measure, choose.

Names are imported when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml_compress.calibration import Calibration as Calibration
    from edgeml_compress.calibration import calibrate as calibrate
    from edgeml_compress.engine import compress as compress
    from edgeml_compress.judging.choice import Limits as Limits
    from edgeml_compress.preparation import prepare as prepare
    from edgeml_compress.rebuilding import rebuild as rebuild
    from edgeml_compress.recipe import Recipe as Recipe
    from edgeml_compress.results import CandidateResult as CandidateResult
    from edgeml_compress.results import Compression as Compression
    from edgeml_compress.results import StepDone as StepDone
    from edgeml_compress.results import TargetResult as TargetResult
    from edgeml_compress.source import CalibrationData as CalibrationData

_HOME: Final = {
    "Calibration": "calibration",
    "CalibrationData": "source",
    "CandidateResult": "results",
    "Compression": "results",
    "Limits": "judging.choice",
    "Recipe": "recipe",
    "StepDone": "results",
    "TargetResult": "results",
    "calibrate": "calibration",
    "compress": "engine",
    "prepare": "preparation",
    "rebuild": "rebuilding",
}
__all__ = [
    "Calibration",
    "CalibrationData",
    "CandidateResult",
    "Compression",
    "Limits",
    "Recipe",
    "StepDone",
    "TargetResult",
    "calibrate",
    "compress",
    "prepare",
    "rebuild",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeml_compress' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
