"""Operators that take parts of a tensor, and join parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import plain, squeezed
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE

_FAR: Final = 1 << 24  # beyond it, a bound of an axis of free size means the end
_MOST_AXES: Final = 5  # of LiteRT's STRIDED_SLICE


@dataclass(frozen=True)
class Part:
    """What is taken along one axis: from `begin` on, up to and without `end`; `None` is the axis's own end."""

    begin: int | None
    end: int | None
    step: int = 1

    def count(self, size: int) -> int:
        """Return how many elements that is, FREE when it depends on a free size."""
        if size != FREE:
            return len(range(size)[slice(self.begin, self.end, self.step)])
        begin, end = self.begin or 0, self.end
        if self.step > 0 and end is not None and 0 <= begin <= end:
            return len(range(begin, end, self.step))
        if self.step > 0 and begin < 0 and (end is None or begin <= end < 0):
            return len(range(begin, end or 0, self.step))
        return FREE


def take(op: Operation, form: Form, parts: Mapping[int, Part]) -> Form:
    """Write a STRIDED_SLICE.

    Args:
        op: The node that is being written.
        form: What is taken from.
        parts: By the model's axes; axes that are not listed are taken whole.

    Raises:
        Inexpressible: The tensor has more axes than the kernel takes.
    """
    shape = tuple(parts[a].count(size) if a in parts else size for a, size in enumerate(form.shape))
    if shape == form.shape and all(part in (Part(None, None), Part(0, None)) for part in parts.values()):
        return form
    if len(form.layout) > _MOST_AXES:
        raise Inexpressible(f"parts of a tensor of {len(form.layout)} axes")
    listed = [parts.get(axis, Part(None, None)) if axis is not None else Part(None, None) for axis in form.layout]
    options = schema.StridedSliceOptionsT(
        beginMask=sum(1 << i for i, part in enumerate(listed) if part.begin is None),
        endMask=sum(1 << i for i, part in enumerate(listed) if part.end is None),
    )
    bounds = [
        [part.begin or 0 for part in listed],
        [part.end if part.end is not None else 0 for part in listed],
        [part.step for part in listed],
    ]
    return op.emit(Op.STRIDED_SLICE, [form, *map(op.integers, bounds)], replace(form, shape=shape), options)


def cut(op: Operation, form: Form, bounds: Mapping[int, tuple[int, int]]) -> Form:
    """Write what is left when elements are cut off the model's axes: how many before and after."""
    return take(op, form, {axis: Part(before or None, -after or None) for axis, (before, after) in bounds.items()})


@lowers("Slice", integer=Integer.KEPT, any_layout=True)
def slice_(op: Operation) -> None:
    """Write a Slice; its bounds are attributes before opset 10."""
    x = op.input(0)
    rank = len(x.shape)
    starts, ends = (_bounds(op, index, name) for index, name in ((1, "starts"), (2, "ends")))
    axes = _bounds(op, 3, "axes") or list(range(len(starts)))
    steps = _bounds(op, 4, "steps") or [1] * len(starts)
    parts = {}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        parts[axis % rank] = _part(start, end, step, x.shape[axis % rank])
    op.hold(take(op, x, parts))


@lowers("Split", integer=Integer.KEPT, any_layout=True)
def split(op: Operation) -> None:
    """Write a Split, a part an output."""
    x = op.input(0)
    axis = op.attributes.get_int("axis", 0) % len(x.shape)
    size, outputs = x.shape[axis], op.node.outputs
    listed = [int(n) for n in op.constant(1, "its list of sizes")] if op.has(1) else op.attributes.get_ints("split", ())
    if not listed and size == FREE:
        raise Inexpressible("it splits a size that is free into equal parts")
    each = -(-size // len(outputs))
    ends = np.cumsum(listed) if listed else np.minimum(np.arange(1, len(outputs) + 1) * each, size)
    starts = [0, *ends[:-1]]
    for output, start, end in zip(outputs, starts, ends, strict=True):
        if output.uses() or output.is_graph_output():
            op.forms.add(output, take(op, x, {axis: Part(int(start), int(end))}))


@lowers("Gather", integer=Integer.KEPT, any_layout=True)
def gather(op: Operation) -> None:
    """Write a Gather by constant indexes, or by computed ones, which may not be negative."""
    indexes = op.known(1)
    x = op.input(0)
    rank = len(x.shape)
    axis = op.attributes.get_int("axis", 0) % rank
    if indexes is not None and x.shape[axis] != FREE:
        indexes = np.where(indexes < 0, indexes + x.shape[axis], indexes)
    if indexes is not None and indexes.ndim == 0:
        index = int(indexes)
        part = take(op, x, {axis: Part(index, None if index == -1 else index + 1)})
        kept = tuple(s for i, s in enumerate(part.shape) if i != axis)
        op.hold(replace(part, shape=kept, layout=squeezed(part.layout, [axis])))
        return
    shape = op.shape(1)
    if len(shape) != 1:
        x = op.forms.moved(x, plain(rank))
    layout = x.layout if len(shape) == 1 else plain(rank - 1 + len(shape))
    number = op.integers(indexes) if indexes is not None else op.forms.as_it_is(op.value(1), plain(len(shape))).tensor
    like = op.result(x, shape=(*x.shape[:axis], *shape, *x.shape[axis + 1 :]), layout=layout)
    op.write(Op.GATHER, [x, number], like, schema.GatherOptionsT(axis=x.layout.index(axis)))


@lowers("GatherND", integer=Integer.KEPT)
def gather_nd(op: Operation) -> None:
    """Write a GatherND without batch axes."""
    if op.attributes.get_int("batch_dims", 0):
        raise Inexpressible("batch_dims is not 0")
    x, shape = op.plain(0), op.shape(1)
    indexes = op.known(1)
    if indexes is not None:
        number = op.integers(np.where(indexes < 0, indexes + np.array(x.shape[: shape[-1]]), indexes))
    else:
        number = op.forms.as_it_is(op.value(1), plain(len(shape))).tensor
    whole = (*shape[:-1], *x.shape[shape[-1] :])
    op.write(Op.GATHER_ND, [x, number], op.result(x, shape=whole, layout=plain(len(whole))), schema.GatherNdOptionsT())


def _bounds(op: Operation, index: int, name: str) -> list[int]:
    if op.has(index):
        return [int(n) for n in op.constant(index, f"its {name}").reshape(-1)]
    return list(op.attributes.get_ints(name, ()))


def _part(start: int, end: int, step: int, size: int) -> Part:
    """Return what ONNX's bounds mean; where the size is known, as numbers that need no clamping."""
    if size == FREE:
        if end == FREE_SIZE or abs(end) >= _FAR:
            return Part(start or None, None, step)
        return Part(start, end, step)
    if step > 0:
        low, high = (min(max(n + size if n < 0 else n, 0), size) for n in (start, end))
        return Part(low, high, step) if (low, high) != (0, size) or step != 1 else Part(None, None)
    low = min(start + size if start < 0 else start, size - 1)
    bound = max(end + size, -1) if end < 0 else end
    return Part(low, None if bound < 0 else bound, step)
