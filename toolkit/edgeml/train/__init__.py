"""From a dataset to a model: the networks that ship, the loop, the export."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml.train.imported import import_model as import_model
    from edgeml.train.loop import train as train

_HOME: Final = {"import_model": "edgeml.train.imported", "train": "edgeml.train.loop"}
__all__ = ["import_model", "train"]


def __getattr__(name: str) -> Any:
    if (
        name not in _HOME
    ):  # imported when first used: the project file asks for the zoo's names without paying for torch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
