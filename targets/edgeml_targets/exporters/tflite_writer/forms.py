"""The forms in which each value stands in the file, and the operators that lead from one to another.

A value of the model may be held in several layouts, in float and as integers. Whoever needs a form asks for it; it is
written when it is not there yet, and only once. So QUANTIZE, DEQUANTIZE, TRANSPOSE and RESHAPE come from here alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.exporters.tflite_writer.flatbuffer import Array, Tensor, TfliteFile
from edgeml_targets.exporters.tflite_writer.layouts import (
    Layout,
    file_shape,
    in_model_order,
    moving_order,
    plain,
    without_gaps,
)
from edgeml_targets.exporters.tflite_writer.quantization import Declared
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE, FromAxis, Shape, size_sources

FLOAT32 = np.dtype(np.float32)
INT8 = np.dtype(np.int8)
_INT32: Final = np.dtype(np.int32)


@dataclass(frozen=True)
class Form:
    """One tensor of the file that holds a value.

    Args:
        tensor: The tensor's number.
        shape: The value's sizes in the model's order, FREE where any is taken.
        layout: In which order the file holds the axes.
        dtype: The elements' type in the file.
        encoding: What integers mean; `None` when the elements are the value's own.
    """

    tensor: int
    shape: Shape
    layout: Layout
    dtype: np.dtype[Any] = FLOAT32
    encoding: Encoding | None = None

    @property
    def file_shape(self) -> Shape:
        """The sizes in the file's order."""
        return file_shape(self.shape, self.layout)


class Forms:
    """All values of a graph while it is written: what is known of each, and where it stands in the file."""

    def __init__(self, file: TfliteFile, declared: Declared) -> None:
        self.file = file
        self.declared = declared
        self.constants: dict[ir.Value, Array] = {}
        """Values whose elements are known, in the model's order."""
        self.sizes: dict[ir.Value, Array] = {}
        """Whole numbers that are known but for those that follow from a free size, which are FREE_SIZE."""
        self.write_late: Callable[[ir.Value], None] = _nobody
        """Writes the operators that compute such a value."""
        self.columns: dict[ir.Value, npt.NDArray[np.intp]] = {}
        """Values of rank 2 whose columns stand in another order, which their only reader undoes in its weights."""
        self.grouped: dict[ir.Value, tuple[Form, Shape]] = {}
        """Images that the model has as (batch, groups, ...) around a normalization, with that shape."""
        self.moving: frozenset[ir.Node] = frozenset()
        """Transpose nodes that move their elements at once, instead of leaving it to those that need another order."""
        self._forms: dict[ir.Value, list[Form]] = {}

    def add(self, value: ir.Value, form: Form) -> None:
        """Note that `form` holds `value`."""
        self._forms.setdefault(value, []).append(form)

    def note(self, value: ir.Value, array: Array) -> None:
        """Note the elements of a value, FREE_SIZE for what follows from a free size."""
        whole = array.dtype in (np.int64, np.int32)
        (self.sizes if whole and (array == FREE_SIZE).any() else self.constants)[value] = array

    def known_but_for_sizes(self, value: ir.Value) -> Array | None:
        """Return a value's elements, FREE_SIZE for what follows from a free size; `None` where they are not known."""
        return self.constants.get(value, self.sizes.get(value))

    def alias(self, value: ir.Value, of: ir.Value) -> None:
        """Note that `value` is the same as `of`, in every form."""
        known = self.known_but_for_sizes(of)
        if known is not None:
            self.note(value, known)
        else:
            self._forms[value] = self._forms[of]

    def shape(self, value: ir.Value) -> Shape:
        """Return a value's sizes."""
        if value in self.grouped:
            return self.grouped[value][1]
        known = self.known_but_for_sizes(value)
        return self._forms[value][0].shape if known is None else known.shape

    def held(self, value: ir.Value) -> Sequence[Form]:
        """Return the forms that are there."""
        return self._forms.get(value, ())

    def in_integers(self, value: ir.Value) -> bool:
        """Tell whether an integer form is there."""
        return any(form.encoding is not None for form in self.held(value))

    def as_it_is(self, value: ir.Value, layout: Layout | None = None) -> Form:
        """Return a value in its own element type, in a layout or in any."""
        if value in self.sizes and value not in self._forms:
            self.write_late(value)
        forms = [form for form in self._forms[value] if form.encoding is None]
        if forms:
            return self._laid_out(value, forms, layout)
        integers = self._laid_out(value, self._forms[value], layout)  # moved before they are four times as large
        return self._convert(value, Op.DEQUANTIZE, integers, None)

    def as_integers(self, value: ir.Value, layout: Layout | None = None, encoding: Encoding | None = None) -> Form:
        """Return a value as 8-bit integers: in `encoding`, or in whichever it is held, else the declared one.

        Raises:
            LookupError: No encoding is known.
        """
        forms = [form for form in self._forms[value] if form.encoding is not None]
        fitting = [form for form in forms if encoding in (None, form.encoding)]
        if fitting:
            return self._laid_out(value, fitting, layout)
        wanted = encoding or self.declared.activation(value)
        if wanted is None:
            raise LookupError(value.name)
        source = self._laid_out(value, forms, layout) if forms else self.as_it_is(value, layout)
        return self._convert(value, Op.QUANTIZE, source, wanted)

    def emit(self, code: int, inputs: Sequence[int], like: Form, options: Any = None) -> Form:
        """Write an operator; its output is a new tensor that is like `like`, whose own number does not matter."""
        number = self.file.add(Tensor(like.file_shape, like.dtype, like.encoding))
        self.file.operator(code, inputs, number, options)
        return replace(like, tensor=number)

    def reshape(self, form: Form, shape: Shape, layout: Layout, sizes: int | None = None) -> Form:
        """Write a RESHAPE to a shape and layout of the same elements in the same order.

        Args:
            form: What gets another shape.
            shape, layout: Of the result.
            sizes: An int32 tensor with the sizes in the file's order, for those that do not follow from the form's.

        Raises:
            Inexpressible: Free sizes of the result do not follow from those of the form.
        """
        target = file_shape(shape, layout)
        if target == form.file_shape and target.count(FREE) < 2:
            return replace(form, shape=shape, layout=layout)
        options = None
        if target.count(FREE) < 2:
            sizes, options = (
                self.file.constant(np.array(target, np.int32)),
                schema.ReshapeOptionsT(newShape=list(target)),
            )
        elif sizes is None:
            sources = size_sources(form.file_shape, target)
            if sources is None:
                raise Inexpressible(f"more than one size of {shape} is free")
            if target == form.file_shape:
                return replace(form, shape=shape, layout=layout)
            sizes = self.size_vector(form, sources)
        like = replace(form, shape=shape, layout=layout)
        return self.emit(Op.RESHAPE, [form.tensor, sizes], like, options)

    def size_vector(self, form: Form, entries: Sequence[FromAxis | int]) -> int:
        """Return the number of an int32 tensor of sizes, each a number or what follows from a size of `form`.

        LiteRT computes it when memory is laid out, once after each resize, and not at each inference.
        """
        known = [_known(form.file_shape, entry) for entry in entries]
        if None not in known:
            return self.file.constant(np.array(known, np.int32))
        rules = [entry if isinstance(entry, tuple) else (0, 0, entry) for entry in entries]
        axes, factors, summands = (np.array(column, np.int32) for column in zip(*rules, strict=True))
        vector = Form(-1, (len(entries),), (0,), _INT32)
        whole = replace(vector, shape=(len(form.layout),))
        made = self.emit(Op.SHAPE, [form.tensor], whole, schema.ShapeOptionsT(outType=schema.TensorType.INT32))
        if axes.tolist() != list(range(len(form.layout))):
            made = self.emit(Op.GATHER, [made.tensor, self.file.constant(axes)], vector, schema.GatherOptionsT(axis=0))
        if (factors != 1).any():
            made = self.emit(Op.MUL, [made.tensor, self.file.constant(factors)], vector, schema.MulOptionsT())
        if summands.any():
            made = self.emit(Op.ADD, [made.tensor, self.file.constant(summands)], vector, schema.AddOptionsT())
        return made.tensor

    def moved(self, form: Form, layout: Layout) -> Form:
        """Return a form in another layout, by a RESHAPE where only axes of size 1 move, else by a TRANSPOSE."""
        if form.layout == layout:
            return form
        if moving_order(form.shape, form.layout) == moving_order(form.shape, layout):
            return self.reshape(form, form.shape, layout)
        if len(form.layout) == len(layout) and form.layout.count(None) == layout.count(None) <= 1:
            return self._transpose(form, layout)
        bare = self.reshape(form, form.shape, without_gaps(form.layout))
        return self.reshape(self._transpose(bare, without_gaps(layout)), form.shape, layout)

    def in_model_order(self, value: ir.Value, form: Form) -> Form:
        """Return a form whose elements stand in the model's order, whatever its axes."""
        if in_model_order(form.shape, form.layout):
            return form
        fitting = [f for f in self._forms[value] if f.encoding == form.encoding and in_model_order(f.shape, f.layout)]
        return fitting[0] if fitting else self._laid_out(value, [form], plain(len(form.shape)))

    def _laid_out(self, value: ir.Value, forms: Sequence[Form], layout: Layout | None) -> Form:
        if layout is None:
            return forms[0]
        for form in forms:
            if form.layout == layout:
                return form
        order = moving_order(forms[0].shape, layout)
        nearest = next((form for form in forms if moving_order(form.shape, form.layout) == order), forms[0])
        made = self.moved(nearest, layout)
        self.add(value, made)
        return made

    def _convert(self, value: ir.Value, code: int, source: Form, encoding: Encoding | None) -> Form:
        made = self.emit(code, [source.tensor], replace(source, dtype=INT8 if encoding else FLOAT32, encoding=encoding))
        self.add(value, made)
        return made

    def _transpose(self, form: Form, layout: Layout) -> Form:
        order = np.array([form.layout.index(axis) for axis in layout], np.int32)
        inputs = [form.tensor, self.file.constant(order)]
        return self.emit(Op.TRANSPOSE, inputs, replace(form, layout=layout), schema.TransposeOptionsT())


def _known(shape: Shape, entry: FromAxis | int) -> int | None:
    if isinstance(entry, int):
        return entry
    axis, factor, summand = entry
    return None if shape[axis] == FREE else shape[axis] * factor + summand


def _nobody(value: ir.Value) -> None:
    raise Inexpressible(f"{value.name!r} depends on a size that is free")
