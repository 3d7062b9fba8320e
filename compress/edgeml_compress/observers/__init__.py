"""Observers: a file each draws a range from what a tensor held. The folder is the list.

Each file ends in `OBSERVER = ...`, a function of (what was seen, bits) that returns the range to be quantized.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

from edgeml_compress.calibration import Seen
from edgeml_targets.contract.errors import EdgemlError


class Range(NamedTuple):
    """The values from `low` to `high` are told apart; what lies outside is saturated."""

    low: float
    high: float


Observer = Callable[[Seen, int], Range]


def observer_names() -> list[str]:
    """Return the names of all observers, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find_observer(name: str) -> Observer:
    """Return an observer by name.

    Raises:
        EdgemlError: There is none of that name.
    """
    if name not in observer_names():
        raise EdgemlError("no such observer", where=name, mend=f"choose one of {', '.join(observer_names())}")
    found: Observer = importlib.import_module(f"{__name__}.{name}").OBSERVER
    return found
