"""Weights as integers, rounded once: one network is written many times over, as candidates and to be tried, mostly with the same
weights, and to round them takes longer than to write them."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

import onnx_ir as ir

from edgeml_targets.contract.encodings import Encoding, Integers

MOST_BYTES: Final = 64 << 20
"""Of integers that are kept: a network of ResNet-50's size with two encodings; of a larger one all are let go again and again."""


class _Kept:
    """Integers by the float tensor that they were rounded from, as long as that lives, and its encoding."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[ir.TensorProtocol, dict[Encoding, Integers]] = WeakKeyDictionary()
        self._bytes = 0

    def of(self, tensor: ir.TensorProtocol, encoding: Encoding) -> Integers:
        """Return a tensor as integers, which nobody may write into."""
        found = self._known.get(tensor, {}).get(encoding)
        return self._add(tensor, encoding) if found is None else found

    def _add(self, tensor: ir.TensorProtocol, encoding: Encoding) -> Integers:
        made = encoding.quantize(tensor.numpy())
        made.flags.writeable = False
        if made.nbytes > MOST_BYTES:
            return made
        if self._bytes + made.nbytes > MOST_BYTES:
            self._known.clear()
            self._bytes = 0
        self._bytes += made.nbytes
        self._known.setdefault(tensor, {})[encoding] = made
        return made


_KEPT: Final = _Kept()


def integers_of(weight: ir.Value, encoding: Encoding) -> Integers:
    """Return what an initializer holds as the integers of an encoding, of the same shape; nobody may write into them.

    Raises:
        ValueError: The value is no initializer, or no whole number of the encoding's blocks.
    """
    if weight.const_value is None:
        raise ValueError(f"{weight.name} is no initializer")
    return _KEPT.of(weight.const_value, encoding)
