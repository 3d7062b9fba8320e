"""Recurrent layers, unrolled over a sequence of known length, in float.

All of a sequence is multiplied with the input weights at once; a step then costs one product with the recurrent weights.
Every tensor of a step has the model's axes (1, batch, units) in the layout that the input has, so nothing is transposed.
Source of the equations: https://onnx.ai/onnx/operators/onnx__LSTM.html, onnx__GRU.html, onnx__RNN.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import apply
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import Layout, plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.operators.slicing import Part, take
from edgeml_targets.exporters.tflite_writer.quantization import Array, Floats, Kernel
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE

_CURVES: Final[Mapping[str, int]] = {"sigmoid": Op.LOGISTIC, "tanh": Op.TANH, "relu": Op.RELU}
_TIME, _UNITS = 0, 2
State = tuple[Form | None, ...]
Gates = tuple[int | None, int | None]


@dataclass(frozen=True)
class Cell:
    """One direction of a layer.

    Args:
        op: The node.
        direction: Its number, 0 or 1.
        units: How many there are.
        layout: Of all tensors of a step.
        curves: LiteRT's operators for f, g and h of ONNX's equations.
        stored: Weight and bias of each product that was written, so that all steps share them.
    """

    op: Operation
    direction: int
    units: int
    layout: Layout
    curves: tuple[int, ...]
    stored: dict[tuple[int, Gates], tuple[int, int]] = field(default_factory=dict)

    def gates(self, form: Form, first: int, count: int = 1) -> Form:
        """Write a part of what stands gate by gate along the units."""
        return take(self.op, form, {_UNITS: Part(first * self.units, (first + count) * self.units)})

    def times(self, form: Form, index: int, bias: Floats, gates: Gates = (None, None)) -> Form:
        """Write a product with the weights that are an input of the node, those of some gates only."""
        array = self.op.constant(index, "its weights")[self.direction : self.direction + 1]
        first, end = (None if n is None else n * self.units for n in gates)

        def arrange(weight: Array) -> Array:
            return np.ascontiguousarray(weight[0, first:end])

        kernel = Kernel(
            self.op.value(index), array, channel_axis=1, arrange=arrange, file_axis=0, channels=(first, end)
        )
        if (index, gates) not in self.stored:
            self.stored[index, gates] = self.op.weights(form, kernel, bias)
        weight, summand = self.stored[index, gates]
        like = replace(form, shape=(*form.shape[:2], len(bias)), encoding=None)
        options = schema.FullyConnectedOptionsT(keepNumDims=True)
        return self.op.emit(Op.FULLY_CONNECTED, [form, weight, summand], like, options)

    def clipped(self, form: Form) -> Form:
        """Write the clip of what goes into the curves, where there is one."""
        most = self.op.attributes.get_float("clip", 0.0)
        if most <= 0:
            return form
        return apply(self.op, Op.MINIMUM, apply(self.op, Op.MAXIMUM, form, -most), most)

    def biases(self, gates: int) -> tuple[Floats, Floats]:
        """Return the biases of the input's and of the recurrent product, each (gates * units,)."""
        size = gates * self.units
        if not self.op.has(3):
            return np.zeros(size, np.float32), np.zeros(size, np.float32)
        both = self.op.constant(3, "its bias")[self.direction]
        return both[:size], both[size:]


@dataclass(frozen=True)
class Given:
    """What a step is given beside the state: the input's products at one point of time.

    Args:
        cell: The direction.
        products: Of the whole sequence, (length, batch, gates * units).
        time: The point of time.
    """

    cell: Cell
    products: Form
    time: int

    def gates(self, first: int, count: int = 1) -> Form:
        """Write those of some gates, taken out of the sequence at once: a step has as few operators as can be."""
        units = self.cell.units
        parts = {_TIME: Part(self.time, self.time + 1), _UNITS: Part(first * units, (first + count) * units)}
        return take(self.cell.op, self.products, parts)


Step = Callable[[Cell, Given, State], State]


@lowers("LSTM")
def lstm(op: Operation) -> None:
    """Write an LSTM; gates stand in the order input, output, forget, cell."""
    if op.attributes.get_int("input_forget", 0):
        raise Inexpressible("it couples the input and forget gates")
    _layer(op, 4, _lstm_step, ("Sigmoid", "Tanh", "Tanh"), states=(5, 6))


@lowers("GRU")
def gru(op: Operation) -> None:
    """Write a GRU; gates stand in the order update, reset, hidden."""
    _layer(op, 3, _gru_step, ("Sigmoid", "Tanh"), states=(5,))


@lowers("RNN")
def rnn(op: Operation) -> None:
    """Write an RNN."""
    _layer(op, 1, _rnn_step, ("Tanh",), states=(5,))


def _lstm_step(cell: Cell, given: Given, state: State) -> State:
    op, (f, g, h), (hidden, memory), x = cell.op, cell.curves, state, given.gates(0, 4)
    total = x if hidden is None else apply(op, Op.ADD, x, cell.times(hidden, 2, np.zeros(4 * cell.units, np.float32)))
    if not op.has(7):
        three = apply(op, f, cell.clipped(cell.gates(total, 0, 3)))
        i, o, forget = (cell.gates(three, n) for n in range(3))
    else:
        i, forget = (apply(op, f, cell.clipped(_peeped(cell, total, memory, n))) for n in (0, 2))
    candidate = apply(op, g, cell.clipped(cell.gates(total, 3)))
    made = apply(op, Op.MUL, i, candidate)
    if memory is not None:
        made = apply(op, Op.ADD, apply(op, Op.MUL, forget, memory), made)
    if op.has(7):
        o = apply(op, f, cell.clipped(_peeped(cell, total, made, 1)))
    return apply(op, Op.MUL, o, apply(op, h, made)), made


def _peeped(cell: Cell, total: Form, memory: Form | None, gate: int) -> Form:
    """Write a gate's sum with what it sees of the memory: weights stand in the order input, output, forget."""
    part = cell.gates(total, gate)
    if memory is None:
        return part
    weights = cell.op.constant(7, "its peepholes")[cell.direction].reshape(3, 1, 1, cell.units)[gate]
    return apply(cell.op, Op.ADD, part, apply(cell.op, Op.MUL, memory, cell.op.operand(weights, cell.layout)))


def _gru_step(cell: Cell, x: Given, state: State) -> State:
    op, (_, g), (hidden,) = cell.op, cell.curves, state
    units, own = cell.units, cell.biases(3)[1]
    if hidden is None:
        z, reset = _update_and_reset(cell, x.gates(0, 2))
        late = op.operand(own[2 * units :].reshape(1, 1, units), cell.layout)
        if op.attributes.get_int("linear_before_reset", 0):
            late = apply(op, Op.MUL, reset, late)
        candidate = apply(op, g, cell.clipped(apply(op, Op.ADD, x.gates(2), late)))
        return (apply(op, Op.SUB, candidate, apply(op, Op.MUL, z, candidate)),)
    if op.attributes.get_int("linear_before_reset", 0):
        bias = np.concatenate([np.zeros(2 * units, np.float32), own[2 * units :]])
        product = cell.times(hidden, 2, bias)
        z, reset = _update_and_reset(cell, apply(op, Op.ADD, x.gates(0, 2), cell.gates(product, 0, 2)))
        late = apply(op, Op.MUL, reset, cell.gates(product, 2))
    else:
        product = cell.times(hidden, 2, np.zeros(2 * units, np.float32), (0, 2))
        z, reset = _update_and_reset(cell, apply(op, Op.ADD, x.gates(0, 2), product))
        late = cell.times(apply(op, Op.MUL, reset, hidden), 2, own[2 * units :], (2, 3))
    candidate = apply(op, g, cell.clipped(apply(op, Op.ADD, x.gates(2), late)))
    return (apply(op, Op.ADD, candidate, apply(op, Op.MUL, z, apply(op, Op.SUB, hidden, candidate))),)


def _update_and_reset(cell: Cell, total: Form) -> tuple[Form, Form]:
    both = apply(cell.op, cell.curves[0], cell.clipped(total))
    return cell.gates(both, 0), cell.gates(both, 1)


def _rnn_step(cell: Cell, given: Given, state: State) -> State:
    (hidden,), x = state, given.gates(0)
    total = x if hidden is None else apply(cell.op, Op.ADD, x, cell.times(hidden, 2, np.zeros(cell.units, np.float32)))
    return (apply(cell.op, cell.curves[0], cell.clipped(total)),)


def _layer(op: Operation, gates: int, step: Step, curves: Sequence[str], *, states: Sequence[int]) -> None:
    """Write all directions of a layer, and its outputs: the sequence, and the last states."""
    x = _sequence(op)
    directions = op.constant(1, "its weights").shape[0]
    named = op.attributes.get_strings("activations", list(curves) * directions)
    ways = {"forward": (1,), "reverse": (-1,), "bidirectional": (1, -1)}[
        op.attributes.get_string("direction", "forward")
    ]
    parts: list[list[Form]] = []
    for direction, way in enumerate(ways):
        mine = named[direction * len(curves) : (direction + 1) * len(curves)]
        units = op.constant(2, "its recurrent weights").shape[2]
        cell = Cell(op, direction, units, x.layout, tuple(map(_curve, mine)))
        parts.append(_direction(cell, x, gates, step, (way, states)))
    _write_outputs(op, parts, x.layout)


def _direction(cell: Cell, x: Form, gates: int, step: Step, run: tuple[int, Sequence[int]]) -> list[Form]:
    """Write one direction; return the sequence (length, batch, units), then the last states (1, batch, units)."""
    way, states = run
    op = cell.op
    given, own = cell.biases(gates)
    bias = given + own
    if gates == 3:  # the recurrent bias of a GRU's candidate stays with its own product
        bias[2 * cell.units :] = given[2 * cell.units :]
    products = cell.times(x, 1, bias)
    state: State = tuple(_initial(cell, index) for index in states)
    made: list[Form] = []
    for time in range(x.shape[_TIME])[::way]:
        state = step(cell, Given(cell, products, time), state)
        made.append(_certain(state[0]))
    return [_joined(op, made[::way], _TIME), *map(_certain, state)]


def _initial(cell: Cell, index: int) -> Form | None:
    """Return the state to begin with, in a step's layout; `None` for zeros."""
    op = cell.op
    known = op.known(index)
    if not op.has(index) or (known is not None and not known.any()):
        return None
    if known is not None:
        return op.operand(known[cell.direction : cell.direction + 1].astype(np.float32), cell.layout)
    part = take(op, op.input(index), {0: Part(cell.direction, cell.direction + 1)})
    return op.forms.moved(part, cell.layout)


def _write_outputs(op: Operation, parts: list[list[Form]], layout: Layout) -> None:
    for output, forms in zip(op.node.outputs, zip(*parts, strict=True), strict=False):
        if not output.uses() and not output.is_graph_output():
            continue
        if output is op.node.outputs[0]:
            spread = [_with_direction(op, form) for form in forms]
            op.forms.add(output, _joined(op, spread, 1))
        else:
            op.forms.add(output, _joined(op, list(forms), 0))


def _with_direction(op: Operation, form: Form) -> Form:
    """Write a sequence (length, batch, units) as (length, 1, batch, units)."""
    length, batch, units = form.shape
    new = {0: 0, 1: 2, 2: 3}
    layout = [new[axis] for axis in form.layout if axis is not None]
    layout.insert(-1, 1)
    return op.forms.reshape(form, (length, 1, batch, units), tuple(layout))


def _joined(op: Operation, forms: list[Form], axis: int) -> Form:
    if len(forms) == 1:
        return forms[0]
    size = sum(form.shape[axis] for form in forms)
    like = replace(forms[0], shape=tuple(size if i == axis else s for i, s in enumerate(forms[0].shape)))
    options = schema.ConcatenationOptionsT(axis=like.layout.index(axis))
    return op.emit(Op.CONCATENATION, forms, like, options)


def _sequence(op: Operation) -> Form:
    """Return the input (length, batch, features) with its features last in the file."""
    if op.attributes.get_int("layout", 0):
        raise Inexpressible("its batch stands first")
    if len(op.shape(0)) != 3:  # in a branch that is never taken with inputs of these sizes
        raise Inexpressible(f"its input is {op.shape(0)}, not (length, batch, features)")
    x = op.input(0)
    length = x.shape[_TIME]
    if length == FREE:
        raise Inexpressible("the length of its sequence is free, and it is unrolled: fix the input's shape")
    lengths = op.known(4)
    if op.has(4) and (lengths is None or (lengths != length).any()):
        raise Inexpressible("its sequences have lengths of their own")
    if x.layout[-1] != _UNITS or len(x.layout) != len(x.shape):
        x = op.input(0, plain(len(x.shape)))
    return x


def _curve(name: str) -> int:
    if name.lower() not in _CURVES:
        raise Inexpressible(f"its activation {name!r} is not covered")
    return _CURVES[name.lower()]


def _certain(form: Form | None) -> Form:
    if form is None:
        raise Inexpressible("its sequence is empty")
    return form
