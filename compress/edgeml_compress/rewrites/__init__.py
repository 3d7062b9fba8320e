"""Rewrites: a file each makes a graph simpler without changing what it answers. `preparation.py` names their order.

Each file has one function of its own name: it changes the model that it is given and returns how many places it changed.
Its `SAID` is how a report tells of it.
"""

from __future__ import annotations

import importlib
from typing import NamedTuple


class Said(NamedTuple):
    """How a report tells of a rewrite.

    Args:
        what: A sentence with `{}` for how many there were.
        noun: Of what, in the singular.
        why: What it is good for.
    """

    what: str
    noun: str
    why: str


def said(name: str) -> Said:
    """Return how a report tells of the rewrite of that name."""
    found: Said = importlib.import_module(f"{__name__}.{name}").SAID
    return found
