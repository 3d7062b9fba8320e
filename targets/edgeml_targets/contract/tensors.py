"""What a model takes and gives: names, element types, shapes."""

from __future__ import annotations

import msgspec


class Tensor(msgspec.Struct, frozen=True):
    """An input or output of a model: its name, numpy type name, and shape with -1 where any size is taken."""

    name: str
    dtype: str
    shape: tuple[int, ...]
