"""From a dataset to a model: the networks that ship, the loop, the export."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml.train.imported import import_model as import_model
    from edgeml.train.loop import train as train

_HOME: Final = {"import_model": "edgeml.train.imported", "train": "edgeml.train.loop"}
__all__ = ["import_model", "train"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is first used: the project file asks for the zoo's names without paying for torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # OpenMP reads this once, when torch is loaded. Its threads spin while they wait, and beside other work they keep each
    # other from running: an epoch of ResNet-8 on 2 cores under a load of 11 took 142 s, with threads that sleep 15 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return getattr(importlib.import_module(_HOME[name]), name)
