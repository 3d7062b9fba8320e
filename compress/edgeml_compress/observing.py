"""Look at a graph's tensors while it runs, without taking them out: what the graph itself reduces is all that leaves it.

To each tensor ReduceMin, ReduceMax and a Slice are appended: its extremes are of all values, the Slice gives a strided part
of them. Small tensors come out whole. Two things are easy to get wrong:
- ONNX Runtime runs the consumers of a graph's leaves in the order of the leaves, the last one first. So what is appended
  stands in reverse, and each tensor is reduced while it is still in the cache, and its memory used again. A network of
  ResNet-50's size took 1.44 times the float run's processor time otherwise, 1.28 so.
- ReduceMin and ReduceMax pass over a NaN wherever it is not the first value. ReduceSum does not, so there is one for what comes
  from outside, for what leaves, and for what an operator can make a NaN from finite values.
"""

from __future__ import annotations

import bisect
import functools
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import constant, name_of, weights
from edgeml_compress.graph.running import Samples, open_session
from edgeml_targets.models import raise_opset

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

COUNTED_VALUES: Final = 4_096  # of a tensor and sample: 100 samples give 400 thousand, 40 of them beyond 99.99 %
LEAST_OPSET: Final = 13  # Min and Mod of integers, Slice with steps
TRIED_STRIDES: Final = 6  # primes from a least stride up; all of them divide dimensions of larger tensors only
MOST_STRIDE: Final = 1 << 14  # a tensor whose size is not known beforehand: 67 million values at 4,096 a sample
FINITE: Final = frozenset(
    "Add AveragePool Clip Concat Conv ConvTranspose DepthToSpace Elu Erf Exp Expand Flatten Gather Gelu Gemm "
    "GlobalAveragePool GlobalMaxPool GRU HardSigmoid HardSwish Identity LSTM LeakyRelu MatMul Max MaxPool Min Mish Mul Neg "
    "PRelu Pad ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Sigmoid Slice Softmax SpaceToDepth Split Squeeze "
    "Sub Sum Tanh Tile Transpose Unsqueeze Upsample Where".split()
)
"""Operators whose outputs are finite where their inputs are, or too large for float32, which the extremes show."""


@dataclass(frozen=True)
class Glimpse:
    """What one sample leaves of a tensor.

    Args:
        low, high: The extremes of all its values; of an empty one `low` is above `high`. What a Relu makes counts from 0,
            where it is large: looking for its lowest value would show that.
        part: A strided part of its values, flat.
    """

    low: float
    high: float
    part: Floats


def glimpse(values: Array) -> Glimpse | None:
    """Return what one sample's tensor, of any shape, leaves; `None` when a value is not finite."""
    if values.size == 0:
        return Glimpse(math.inf, -math.inf, values.ravel())
    part = values.ravel()[:: stride(values.shape)]
    if part.size < values.size:
        part = part.copy()  # a view would keep the whole tensor
    return _sound(Glimpse(float(values.min()), float(values.max()), part))  # they are NaN when there is one


def stride(shape: Sequence[int]) -> int:
    """Return the step that leaves `COUNTED_VALUES` of a tensor or fewer: 1, or a prime that divides none of its dimensions.

    So no row, column or channel is passed over: a step that divides the row's length sees one column only.
    """
    least = -(-math.prod(shape) // COUNTED_VALUES)
    if least <= 1:
        return 1
    return min(_strides()[min(least, MOST_STRIDE)], key=lambda step: sum(dim % step == 0 for dim in shape))


class Watch:
    """A graph that runs and tells what its tensors held; several threads may look at once.

    Args:
        model: A prepared graph: named values, inferred types. It is not changed.
        names: The float32 tensors to be looked at.
        single: Symbolic dimensions that are 1 whenever it runs, see `single_symbols`.
        threads: Of one inference; 0 for one a core.
    """

    def __init__(self, model: ir.Model, names: Sequence[str], *, single: frozenset[str], threads: int = 0) -> None:
        self._model, self._names, self._threads = model, tuple(names), threads
        self._writer = _Writer(model, single)
        self._looks = self._writer.write(self._names)
        self._session = open_session(self._writer.model, self._writer.outputs, threads=threads)
        self._whole: Any = None
        self._opening = threading.Lock()

    def look(self, feed: Mapping[str, Array]) -> list[Glimpse | None]:
        """Run one sample; return what it leaves of each tensor, in the order of `names`, `None` where a value is not finite."""
        found = dict(zip(self._writer.outputs, self._session.run(self._writer.outputs, dict(feed)), strict=True))
        seen = [look.read(found) for look in self._looks]
        if all(g is not None for g in seen):
            return seen
        with self._opening:
            if self._whole is None:  # all are taken out: a NaN goes on into tensors whose extremes pass over it
                self._whole = open_session(self._model, self._names, threads=self._threads)
        tensors = self._whole.run(list(self._names), dict(feed))
        return [look.again(values) for look, values in zip(self._looks, tensors, strict=True)]


def single_symbols(model: ir.Model, samples: Samples) -> frozenset[str]:
    """Return the symbolic dimensions that are 1 when a model is fed one sample at a time: the batch, wherever it appears.

    Args:
        model: Its inputs' first dimensions are asked.
        samples: An array an input; one of the input's own rank is fed a row at a time, with the first axis kept.
    """
    single: set[str] = set()
    other: set[str] = set()
    for value in model.graph.inputs:
        shape, array = value.shape, samples.get(value.name or "")
        for axis, dim in enumerate(shape or ()):
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
                fed_singly = axis == 0 and array is not None and shape is not None and array.ndim == len(shape)
                (single if fed_singly else other).add(str(dim.value))
    return frozenset(single - other)


class _Look(Protocol):
    """How what is left of a tensor is read from the outputs by name, or found again from the tensor itself."""

    def read(self, found: Mapping[str, Array]) -> Glimpse | None: ...
    def again(self, values: Array) -> Glimpse | None: ...


@dataclass(frozen=True)
class _Whole:
    name: str

    def read(self, found: Mapping[str, Array]) -> Glimpse | None:
        return glimpse(found[self.name])

    def again(self, values: Array) -> Glimpse | None:
        return glimpse(values)


@dataclass(frozen=True)
class _Reduced:
    low: str | None  # `None`: 0
    high: str
    total: str | None
    part: str

    def read(self, found: Mapping[str, Array]) -> Glimpse | None:
        if self.total is not None and not math.isfinite(found[self.total]):
            return None  # a NaN, or too large a sum
        low = 0.0 if self.low is None else float(found[self.low])
        return _sound(Glimpse(low, float(found[self.high]), found[self.part]))

    def again(self, values: Array) -> Glimpse | None:
        seen = glimpse(values)
        return seen if seen is None or self.low is not None else replace(seen, low=0.0)


class _Writer:
    """A copy of a graph whose outputs are what is left of its tensors."""

    def __init__(self, model: ir.Model, single: frozenset[str]) -> None:
        raised = raise_opset(model, LEAST_OPSET)
        self.model = model.clone() if raised is model else raised
        self.outputs: list[str] = []
        self._single, self._graph = single, self.model.graph
        self._values = {v.name: v for v in (*self._graph.inputs, *(o for n in self._graph for o in n.outputs))}
        self._shapes = {v.name: v.shape for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs))}
        self._prefix = next(p for p in _prefixes() if not any((name or "").startswith(p) for name in self._values))
        self._leaving = {v.name for v in model.graph.outputs}
        self._unsound = _constants_that_are_not_finite(model)
        self._made = 0
        self._constants: dict[tuple[Any, ...], ir.Value] = {}

    def write(self, names: Sequence[str]) -> list[_Look]:
        """Append what looks at each tensor, the last tensor's first, and return how each is read."""
        looks = [self._watched(self._values[name]) for name in reversed(names)][::-1]
        self._graph.outputs.clear()
        self._graph.outputs.extend(self._values[name] for name in self.outputs)
        return looks

    def _watched(self, value: ir.Value) -> _Look:
        shape, maker = self._static_shape(value), value.producer()
        if shape is not None and math.prod(shape) <= COUNTED_VALUES:
            return _Whole(self._out(value))
        relu = maker is not None and maker.domain == "" and maker.op_type == "Relu"
        low = None if relu else self._out(self._node("ReduceMin", [value], keepdims=0))
        high = self._out(self._node("ReduceMax", [value], keepdims=0))
        total = self._out(self._node("ReduceSum", [value], keepdims=0)) if self._may_hide_nan(value) else None
        flat = self._node("Reshape", [value, self._integers((-1,))])
        step = self._integers((stride(shape),)) if shape is not None else self._dynamic_stride(value)
        ends = [self._integers((v,)) for v in (0, np.iinfo(np.int64).max, 0)]
        return _Reduced(low, high, total, self._out(self._node("Slice", [flat, *ends, step])))

    def _may_hide_nan(self, value: ir.Value) -> bool:
        maker = value.producer()
        if maker is None or maker.domain != "" or maker.op_type not in FINITE or value.name in self._leaving:
            return True
        return any(v is not None and v.name in self._unsound for v in maker.inputs)

    def _static_shape(self, value: ir.Value) -> tuple[int, ...] | None:
        shape = self._shapes.get(value.name)
        if shape is None:
            return None
        dims = [1 if isinstance(d, ir.SymbolicDim) and d.value in self._single else d for d in shape]
        known = [d for d in dims if isinstance(d, int)]
        return tuple(known) if len(known) == len(dims) else None

    def _dynamic_stride(self, value: ir.Value) -> ir.Value:
        """Compute `stride` in the graph.

        It is a function of the sample's own shape and of nothing else, so that any split of the samples gives the same.
        """
        size = self._node("Add", [self._node("Size", [value]), self._integers((COUNTED_VALUES - 1,))])
        least = self._node("Div", [size, self._integers((COUNTED_VALUES,))])
        least = self._node("Min", [least, self._integers((MOST_STRIDE,))])
        steps = self._node("Gather", [self._integers(_strides()), least])
        dims = self._node("Unsqueeze", [self._node("Shape", [value]), self._integers((1,))])
        divided = self._node("Equal", [self._node("Mod", [dims, steps]), self._integers((0,))])
        divided = self._node("Cast", [divided], to=ir.DataType.FLOAT)
        divided = self._node("ReduceSum", [divided, self._integers((0,))], keepdims=0)
        best = self._node("ArgMin", [divided], axis=0, keepdims=1)
        return self._node("Gather", [self._node("Reshape", [steps, self._integers((-1,))]), best])

    def _node(self, op_type: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
        name = f"{self._prefix}{self._made}"
        self._made += 1
        made = ir.node(op_type, inputs, attributes, outputs=[ir.Value(name=name)], name=name)
        self._graph.append(made)
        self._values[name] = made.outputs[0]
        return made.outputs[0]

    def _out(self, value: ir.Value) -> str:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        self.outputs.append(name_of(value))
        return name_of(value)

    def _integers(self, values: tuple[Any, ...]) -> ir.Value:
        if values not in self._constants:
            name = f"{self._prefix}c{len(self._constants)}"
            array = np.asarray(values, np.int64)
            kind, content = ir.TensorType(ir.DataType.INT64), ir.tensor(array, name=name)
            made = ir.Value(name=name, shape=ir.Shape(array.shape), type=kind, const_value=content)
            self._graph.initializers[name] = made
            self._constants[values] = made
        return self._constants[values]


def _sound(seen: Glimpse) -> Glimpse | None:
    empty = seen.low > seen.high
    return seen if empty or (math.isfinite(seen.low) and math.isfinite(seen.high)) else None


def _constants_that_are_not_finite(model: ir.Model) -> set[str]:
    """Return the bounds and masks with infinities: `prepare` refuses NaN, and anything but finite weights."""
    checked = weights(model).keys()
    others = (v for name, v in model.graph.initializers.items() if name not in checked and v.dtype == ir.DataType.FLOAT)
    return {name_of(v) for v in others if v.const_value is not None and not np.isfinite(constant(v)).all()}


@functools.cache
def _strides() -> tuple[tuple[int, ...], ...]:
    """Return for each least stride, 0 to `MOST_STRIDE`, what to choose from: the next primes, more than dimensions have factors."""
    primes = [p for p in range(2, MOST_STRIDE + 200) if all(p % d for d in range(2, math.isqrt(p) + 1))]
    starts = (bisect.bisect_left(primes, least) for least in range(2, MOST_STRIDE + 1))
    return ((1,) * TRIED_STRIDES,) * 2 + tuple(tuple(primes[s : s + TRIED_STRIDES]) for s in starts)


def _prefixes() -> Iterator[str]:
    yield "seen_"
    number = 0
    while True:
        number += 1
        yield f"seen{number}_"
