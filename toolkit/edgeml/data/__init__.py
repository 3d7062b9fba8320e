"""Data: from what the project names to a dataset, versioned by its content."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml.data.additions import Addition as Addition
    from edgeml.data.additions import add_labels as add_labels
    from edgeml.data.additions import count_labels_since as count_labels_since
    from edgeml.data.checks import DataCheck as DataCheck
    from edgeml.data.dataset import Dataset as Dataset
    from edgeml.data.dataset import open_dataset as open_dataset
    from edgeml.data.describe import Description as Description
    from edgeml.data.preparation import accept as accept
    from edgeml.data.preparation import prepare as prepare

_HOME: Final = {
    "Addition": "additions",
    "DataCheck": "checks",
    "Dataset": "dataset",
    "Description": "describe",
    "accept": "preparation",
    "add_labels": "additions",
    "count_labels_since": "additions",
    "open_dataset": "dataset",
    "prepare": "preparation",
}
__all__ = [
    "Addition",
    "DataCheck",
    "Dataset",
    "Description",
    "accept",
    "add_labels",
    "count_labels_since",
    "open_dataset",
    "prepare",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:  # imported when first used: most commands need none of it
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
