"""The operators that can be written: a function each, grouped by kind in the files of `operators/`.

A function takes an `Operation`, asks it for inputs in the layout it needs, and writes the output. It never asks whether
the model is quantized: `Operation` hands out float or integer forms by what the registration says.
"""

from __future__ import annotations

import enum
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgeml_targets.exporters.tflite_writer.operation import Operation


class Integer(enum.Enum):
    """What LiteRT's kernel of an operator does with integers."""

    NO = "no"  # it computes in float only
    FREE = "free"  # its output has a scale of its own
    KEPT = "kept"  # its output has its input's scale
    CLIPPED = "clipped"  # its output has a scale of its own, or its input's where none is declared


@dataclass(frozen=True)
class Entry:
    """An operator of ONNX that can be written.

    Args:
        write: Writes one node.
        integer: What its kernel does with integers.
        weight: Which input is the weight, whose encoding decides with the activations', `None` when it has none.
        activates: Whether LiteRT can apply a following Relu, Relu6 or clip to -1 and 1 in the same kernel.
        any_layout: Whether it works in whichever layout its first input has.
    """

    write: Callable[[Operation], None]
    integer: Integer = Integer.NO
    weight: int | None = None
    activates: bool = False
    any_layout: bool = False


_ENTRIES: Final[dict[str, Entry]] = {}


def lowers(
    *op_types: str,
    integer: Integer = Integer.NO,
    weight: int | None = None,
    activates: bool = False,
    any_layout: bool = False,
) -> Callable[[Callable[[Operation], None]], Callable[[Operation], None]]:
    """Register a function for operators of ONNX's own domain; see `Entry` for the rest."""

    def register(write: Callable[[Operation], None]) -> Callable[[Operation], None]:
        for op_type in op_types:
            _ENTRIES[op_type] = Entry(write, integer, weight, activates, any_layout)
        return write

    return register


@cache
def entries() -> Mapping[str, Entry]:
    """Return all entries by the operator's name."""
    from edgeml_targets.exporters.tflite_writer import operators

    for module in pkgutil.iter_modules(operators.__path__):
        importlib.import_module(f"{operators.__name__}.{module.name}")
    return dict(_ENTRIES)


def entry_of(domain: str, op_type: str) -> Entry | None:
    """Return the entry of an operator, `None` when it cannot be written."""
    return entries().get(op_type) if domain in ("", "ai.onnx") else None
