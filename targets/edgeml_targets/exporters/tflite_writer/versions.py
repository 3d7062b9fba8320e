"""The version of each of LiteRT's operators that a file asks for.

A runtime that is too old for what an operator is given refuses the file by this number instead of computing nonsense.
Source: tensorflow/lite/tools/versioning/op_version.cc, for the types that we write; what is not listed is version 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

if TYPE_CHECKING:
    from edgeml_targets.exporters.tflite_writer.flatbuffer import Tensor

_INT8: Final = np.dtype(np.int8)
_FLOAT32: Final = np.dtype(np.float32)
_FLOAT16: Final = np.dtype(np.float16)
_INT32: Final = np.dtype(np.int32)
_INT64: Final = np.dtype(np.int64)
_BOOL: Final = np.dtype(np.bool_)


@dataclass(frozen=True)
class Signature:
    """What an operator's version depends on: its tensors and options."""

    code: int
    inputs: tuple[Tensor, ...]
    output: Tensor
    options: Any

    @property
    def integer(self) -> bool:
        """Whether it reads quantized activations."""
        return self.inputs[0].dtype == _INT8

    @property
    def hybrid(self) -> bool:
        """Whether it reads float activations and integer weights."""
        return self.inputs[0].dtype == _FLOAT32 and self.inputs[1].dtype == _INT8

    @property
    def per_channel(self) -> bool:
        """Whether its weights (or only input) have a scale a channel."""
        encoding = self.inputs[min(1, len(self.inputs) - 1)].encoding
        return encoding is not None and len(encoding.scale) > 1

    @property
    def broadcasts_past_four(self) -> bool:
        """Whether shapes differ and one has more than four axes."""
        return self.inputs[0].shape != self.inputs[1].shape and max(len(t.shape) for t in self.inputs) > 4


def version_of(signature: Signature) -> int:
    """Return the lowest version of an operator that reads these tensors as they are meant."""
    rule = _RULES.get(signature.code)
    if rule is not None:
        return rule(signature)
    return 2 if signature.code in _TWO_FOR_INT8 and signature.integer else 1


def _convolution(s: Signature) -> int:
    if s.inputs[0].shape[3] != s.inputs[1].shape[3]:
        return 6  # grouped
    if s.hybrid:
        return 5 if s.per_channel else 2
    return 3 if s.integer else 1


def _depthwise(s: Signature) -> int:
    if s.hybrid:
        return 6 if s.per_channel else 4
    if s.integer:
        return 3
    return 2 if (s.options.dilationWFactor, s.options.dilationHFactor) != (1, 1) else 1


def _fully_connected(s: Signature) -> int:
    if s.hybrid and s.per_channel:
        return 12
    if s.options.keepNumDims:
        return 5
    if s.integer:
        return 4
    return 3 if s.hybrid else 1


def _dequantize(s: Signature) -> int:
    if s.inputs[0].dtype == _FLOAT16:
        return 3
    return 5 if s.per_channel else 2


def _multiply(s: Signature) -> int:
    if s.inputs[0].dtype == _INT64:
        return 5
    encodings = [t.encoding for t in (*s.inputs, s.output)]
    if all(e is not None for e in encodings):
        a, b, c = (e.scale[0] for e in encodings if e is not None)
        return 3 if a * b / c >= 1 else 2
    return 1


def _addition(s: Signature) -> int:
    if s.inputs[0].dtype == _INT64:
        return 4
    return 2 if s.integer else 1


def _subtraction(s: Signature) -> int:
    if s.inputs[0].dtype == _INT64:
        return 4
    if s.broadcasts_past_four:
        return 3
    return 2 if s.integer else 1


def _extreme(s: Signature) -> int:
    if s.broadcasts_past_four:
        return 3
    return 2 if s.integer else 1


def _moved(s: Signature) -> int:
    if len(s.inputs[0].shape) > 5:
        return 6
    if len(s.inputs[0].shape) > 4:
        return 4
    return _picked(s)


def _picked(s: Signature) -> int:
    if s.inputs[0].dtype == _BOOL:
        return 3
    return 2 if s.integer else 1


def _sliced(s: Signature) -> int:
    return 4 if len(s.inputs[0].shape) > 4 else _picked(s)


def _resized(s: Signature) -> int:
    centred = s.options.halfPixelCenters or (s.code == Op.RESIZE_NEAREST_NEIGHBOR and s.options.alignCorners)
    return 3 if centred else 2 if s.integer else 1


def _converted(s: Signature) -> int:
    return 3 if _INT8 in (s.inputs[0].dtype, s.output.dtype) else 1


def _padded(s: Signature) -> int:
    if len(s.inputs[0].shape) > 4:
        return 4
    return 2 if s.integer else 1


_RULES: Final[Mapping[int, Callable[[Signature], int]]] = {
    Op.CONV_2D: _convolution,
    Op.DEPTHWISE_CONV_2D: _depthwise,
    Op.FULLY_CONNECTED: _fully_connected,
    Op.DEQUANTIZE: _dequantize,
    Op.MUL: _multiply,
    Op.ADD: _addition,
    Op.SUB: _subtraction,
    Op.DIV: lambda s: 2 if s.broadcasts_past_four else 1,
    Op.MAXIMUM: _extreme,
    Op.MINIMUM: _extreme,
    Op.TRANSPOSE: _moved,
    Op.PAD: _padded,
    Op.PADV2: _padded,
    Op.BROADCAST_TO: lambda s: 3 if s.integer else 2,  # there never was a first
}
_TWO_FOR_INT8: Final = frozenset(
    {
        Op.MAX_POOL_2D,
        Op.AVERAGE_POOL_2D,
        Op.RELU,
        Op.RELU6,
        Op.TANH,
        Op.LOGISTIC,
        Op.SOFTMAX,
        Op.MEAN,
        Op.MIRROR_PAD,
        Op.CONCATENATION,
        Op.BATCH_MATMUL,
        Op.DEPTH_TO_SPACE,
        Op.EXP,
        Op.GELU,
        Op.LOG,
        Op.LOG_SOFTMAX,
        Op.REDUCE_PROD,
        Op.SPACE_TO_DEPTH,
        Op.SUM,
        Op.RSQRT,
        Op.REDUCE_MAX,
        Op.REDUCE_MIN,
    }
)
