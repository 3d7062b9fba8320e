"""What an operator's function sees: one node, its inputs in whichever form it asks for, and where its output goes.

Whether the node computes in integers was decided before the function runs, by `in_integers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.contract.encodings import Encoding
from edgeml_targets.exporters.tflite_writer.flatbuffer import Array
from edgeml_targets.exporters.tflite_writer.forms import FLOAT32, INT8, Form, Forms
from edgeml_targets.exporters.tflite_writer.fusion import ACTIVATIONS, Fused
from edgeml_targets.exporters.tflite_writer.layouts import CHANNELS_LAST, Layout, arranged, plain
from edgeml_targets.exporters.tflite_writer.quantization import (
    Floats,
    Kernel,
    Stored,
    least_weight_scale,
    store_alone,
    store_bias,
    store_operand,
    store_weight,
    within_reach,
)
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Entry, Integer
from edgeml_targets.exporters.tflite_writer.shapes import Shape


class Operation:
    """One node while it is written.

    Args:
        node: The node of the model.
        entry: What the registry says of its operator.
        fused: What it writes, with the nodes after it that it takes over.
        forms: All values so far.
        opset: The version of ONNX's operators, where a meaning depends on it.
    """

    def __init__(self, node: ir.Node, entry: Entry, fused: Fused, forms: Forms, opset: int) -> None:
        self.node = node
        self.opset = opset
        self.attributes = node.attributes
        self.fused = fused
        self.forms = forms
        self._entry = entry
        self.declared = _declared_output(fused, forms)
        self._product_step: float | None = None
        self.integer = in_integers(node, entry, self.declared, forms)

    def compute_in_float(self) -> None:
        """Leave integers, where the kernel at hand cannot do in them what this node asks; call it before `input`."""
        self.integer = False

    # What goes in

    def has(self, index: int) -> bool:
        """Tell whether an optional input is given."""
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def value(self, index: int) -> ir.Value:
        """Return an input of the model's node.

        Raises:
            Inexpressible: It is not given.
        """
        found = self.node.inputs[index] if index < len(self.node.inputs) else None
        if found is None:
            raise Inexpressible(f"its input {index} is missing")
        return found

    def shape(self, index: int) -> Shape:
        """Return an input's sizes in the model's order, FREE where any is taken."""
        return self.forms.shape(self.value(index))

    def known(self, index: int) -> Array | None:
        """Return an input's elements where they are known, `None` where they are computed or the input is not given."""
        return self.forms.constants.get(self.value(index)) if self.has(index) else None

    def constant(self, index: int, what: str) -> Array:
        """Return an input's elements.

        Raises:
            Inexpressible: They are not known; `what` says what the input is: "the padding".
        """
        found = self.known(index)
        if found is None:
            raise Inexpressible(f"{what} is not constant")
        return found

    def sizes(self, index: int, what: str) -> Array:
        """Return an input's elements, FREE_SIZE for those that follow from a free size.

        Raises:
            Inexpressible: They are not known; `what` says what the input is: "its shape".
        """
        found = self.forms.known_but_for_sizes(self.value(index))
        if found is None:
            raise Inexpressible(f"{what} is not constant")
        return found

    def input(self, index: int, layout: Layout | None = None, encoding: Encoding | None = None) -> Form:
        """Return an input, in integers or as it is, in a layout or in any, in an encoding or in any."""
        value = self.value(index)
        if value in self.forms.constants:
            return self._operand(value, layout or plain(len(self.shape(index))), encoding)
        if self.integer:
            return self.forms.as_integers(value, layout, encoding)
        return self.forms.as_it_is(value, layout)

    def channels_last(self, index: int) -> Form:
        """Return an input as convolutions and pooling hold it, with two spatial axes.

        Raises:
            Inexpressible: It has another number of spatial axes than one or two.
        """
        layout = CHANNELS_LAST.get(len(self.shape(index)))
        if layout is None:
            raise Inexpressible(f"its input has {len(self.shape(index))} axes, 3 or 4 are covered")
        return self.input(index, layout)

    def plain(self, index: int) -> Form:
        """Return an input in the model's order."""
        return self.input(index, plain(len(self.shape(index))))

    def in_model_order(self, index: int) -> Form:
        """Return an input whose elements stand in the model's order; axes of size 1 may be anywhere."""
        return self.forms.in_model_order(self.value(index), self.input(index))

    def lifted(self, index: int, rank: int, encoding: Encoding | None = None) -> Form:
        """Return an input with axes of size 1 in front, until it has `rank`."""
        shape = self.shape(index)
        if len(shape) == rank:
            return self.input(index, encoding=encoding)
        lower = self.input(index, plain(len(shape)), encoding)
        return self.forms.reshape(lower, (1,) * (rank - len(shape)) + shape, plain(rank))

    def multiplies(self, *factors: Form) -> None:
        """Note that the kernel adds up products of its inputs, whose step bounds the output's."""
        scales = [form.encoding.scale[0] for form in factors if form.encoding is not None]
        self._product_step = float(np.prod(scales)) if len(scales) == len(factors) else None

    def aligned(self, encoding: Encoding | None = None) -> list[Form]:
        """Return all inputs with the same number of axes in the same layout, as elementwise operators need them."""
        indexes = range(len(self.node.inputs))
        rank = max(len(self.shape(i)) for i in indexes)
        full = [self.input(i) for i in indexes if self.known(i) is None and len(self.shape(i)) == rank]
        layout = next((form.layout for form in full if form.layout != plain(rank)), plain(rank))
        return [self._aligned(i, layout, rank, encoding) for i in indexes]

    def weights(self, given: Form, kernel: Kernel, bias: Floats) -> tuple[int, int]:
        """Store a weight and a bias, (channels,), in the form that the input and the encodings ask for.

        What follows and was fused (a scale and a shift a channel) goes into them.

        Returns:
            The numbers of two tensors.
        """
        if self.fused.scale is not None:
            along = np.reshape(
                self.fused.scale, [-1 if a == kernel.channel_axis else 1 for a in range(kernel.array.ndim)]
            )
            kernel, bias = replace(kernel, array=kernel.array * along), bias * self.fused.scale
        if self.fused.shift is not None:
            bias = bias + self.fused.shift
        encoding = self.forms.declared.weight(kernel.value)
        name = kernel.value.name or ""
        if self.integer and encoding is not None and given.encoding is not None and self.declared is not None:
            stored = store_weight(kernel, encoding, least_weight_scale(bias, given.encoding, self.declared))
            assert stored.encoding is not None
            self._product_step = given.encoding.scale[0] * max(stored.encoding.scale)
            return self._store(stored, name), self._store(store_bias(bias, given.encoding, stored.encoding))
        plain_bias = self.forms.file.constant(bias.astype(np.float32))
        if encoding is None:
            return self._float_constant(kernel.value, kernel.arrange(kernel.array.astype(np.float32))), plain_bias
        stored = store_weight(kernel, encoding)
        number = self._store(stored, name)
        return number if self.forms.declared.dynamic(self.value(0)) else self._expand(number, stored), plain_bias

    # What comes out

    def result(
        self, given: Form, shape: Shape | None = None, layout: Layout | None = None, encoding: Encoding | None = None
    ) -> Form:
        """Return how the output is to be held: like an input, except for what is said, with the output's own encoding.

        Args:
            given: The input that decides the element type.
            shape, layout: Of the output, where they differ from the input's.
            encoding: The one that LiteRT's kernel insists on when it computes in integers.
        """
        made = None
        if self.integer and given.encoding is not None:
            free = self.declared and within_reach(self.declared, self._product_step or given.encoding.scale[0])
            kept = {Integer.KEPT: given.encoding, Integer.CLIPPED: free or given.encoding}
            made = encoding or kept.get(self._entry.integer, free)
        return replace(
            given,
            shape=given.shape if shape is None else shape,
            layout=given.layout if layout is None else layout,
            encoding=made,
        )

    def emit(self, code: int, inputs: Sequence[Form | int], like: Form, options: Any = None) -> Form:
        """Write an operator whose output only this node sees."""
        return self.forms.emit(code, [i.tensor if isinstance(i, Form) else i for i in inputs], like, options)

    def clipped(self, code: int, inputs: Sequence[Form | int], like: Form, options: Any = None) -> Form:
        """Write an operator, and the clip that was fused, in it or after it."""
        if self.fused.limits is None:
            return self.emit(code, inputs, like, options)
        if hasattr(options, "fusedActivationFunction"):
            options.fusedActivationFunction = ACTIVATIONS[self.fused.limits][0]
            return self.emit(code, inputs, like, options)
        clip = ACTIVATIONS[self.fused.limits][1]
        return self.emit(clip, [self.emit(code, inputs, like, options)], like)

    def write(self, code: int, inputs: Sequence[Form | int], like: Form, options: Any = None) -> None:
        """Write the operator that makes the output, clipped where a clip was fused."""
        made = self.clipped(code, inputs, like, options)
        self.forms.file.rename(made.tensor, self.fused.output.name or "")
        self.hold(made)

    def hold(self, form: Form) -> None:
        """Let an existing tensor be the output: it costs nothing."""
        self.forms.add(self.fused.output, form)

    def integers(self, sizes: npt.ArrayLike) -> int:
        """Store a small constant such as axes or paddings, int32."""
        return self.forms.file.constant(np.asarray(sizes, np.int32))

    # How constants are stored

    def operand(self, array: Array, layout: Layout, encoding: Encoding | None = None) -> Form:
        """Store a constant that is no tensor of the model, arranged for a layout of as many axes."""
        return self._stored(ir.Value(name=""), array, layout, encoding)

    def _operand(self, value: ir.Value, layout: Layout, encoding: Encoding | None) -> Form:
        return self._stored(value, self.forms.constants[value], layout, encoding)

    def _stored(self, value: ir.Value, array: Array, layout: Layout, encoding: Encoding | None) -> Form:
        if self.integer:
            stored = store_operand(
                arranged(array, layout), encoding or self.forms.declared.weight(value), value.name or ""
            )
            return Form(self._store(stored, value.name or ""), array.shape, layout, INT8, stored.encoding)
        declared = self.forms.declared.weight(value) if array.dtype == FLOAT32 else None
        if declared is not None:
            stored = store_alone(array, declared, layout, self.forms.constants[value].ndim)
            number = self._store(stored, value.name or "")
            return Form(number if stored.encoding is None else self._expand(number, stored), array.shape, layout)
        content = arranged(array, layout)
        return Form(self._float_constant(value, content), array.shape, layout, content.dtype)

    def _aligned(self, index: int, layout: Layout, rank: int, encoding: Encoding | None) -> Form:
        array = self.known(index)
        if array is not None:
            lifted = (1,) * (rank - array.ndim) + array.shape
            return self._stored(self.value(index), array.reshape(lifted), layout, encoding)
        if len(self.shape(index)) == rank:
            return self.input(index, layout, encoding)
        return self.forms.moved(self.lifted(index, rank, encoding), layout)

    def _float_constant(self, value: ir.Value, content: Array) -> int:
        if not (self.forms.declared.half(value) and content.dtype == FLOAT32):
            return self.forms.file.constant(content, name=value.name or "")
        if np.abs(content).max(initial=0.0) > np.finfo(np.float16).max:
            raise Inexpressible(f"{value.name} holds values above 65,504, which half precision cannot")
        stored = Stored(content.astype(np.float16))
        return self._expand(self._store(stored, value.name or ""), stored)

    def _expand(self, number: int, stored: Stored) -> int:
        """Write the DEQUANTIZE of a constant: LiteRT does it once, when it loads."""
        shape = stored.content.shape
        return self.emit(Op.DEQUANTIZE, [number], Form(-1, shape, plain(len(shape)))).tensor

    def _store(self, stored: Stored, name: str = "") -> int:
        return self.forms.file.constant(stored.content, name=name, encoding=stored.encoding)


def in_integers(node: ir.Node, entry: Entry, declared: Encoding | None, forms: Forms) -> bool:
    """Decide whether a node computes in integers: its kernel can, and the encodings it needs are there.

    Args:
        node, entry: The node and what the registry says of its operator.
        declared: The encoding of what it writes.
        forms: All values so far.
    """
    computed = [v for v in node.inputs if v is not None and forms.known_but_for_sizes(v) is None]
    if entry.integer is Integer.NO or not computed:
        return False
    if entry.weight is not None:
        weight = node.inputs[entry.weight]
        if weight in forms.constants and weight is not None and forms.declared.weight(weight) is None:
            return False
    if declared is None and entry.integer is Integer.FREE:
        return False
    if entry.integer is Integer.FREE and entry.weight is None and not any(forms.in_integers(v) for v in computed):
        return False  # it gains less than its inputs cost to round
    return all(forms.in_integers(v) or forms.declared.activation(v) is not None for v in computed)


def _declared_output(fused: Fused, forms: Forms) -> Encoding | None:
    """Return the encoding of what a node writes; a clip that was fused keeps the steps of what it clips."""
    found = forms.declared.activation(fused.output)
    clipped = fused.covered[-1].inputs[0] if fused.limits is not None else None
    return forms.declared.activation(clipped) if found is None and clipped is not None else found
