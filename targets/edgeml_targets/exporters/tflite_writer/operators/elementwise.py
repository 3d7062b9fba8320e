"""Operators that take two tensors, or one, element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import Shape, broadcast

_PAIRS: Final[Mapping[str, tuple[int, Callable[[], Any]]]] = {
    "Add": (Op.ADD, schema.AddOptionsT),
    "Sub": (Op.SUB, schema.SubOptionsT),
    "Mul": (Op.MUL, schema.MulOptionsT),
    "Div": (Op.DIV, schema.DivOptionsT),
}
_SINGLES: Final[Mapping[str, int]] = {
    "Abs": Op.ABS,
    "Ceil": Op.CEIL,
    "Cos": Op.COS,
    "Exp": Op.EXP,
    "Floor": Op.FLOOR,
    "Log": Op.LOG,
    "Neg": Op.NEG,
    "Sin": Op.SIN,
    "Sqrt": Op.SQRT,
}


@lowers("Add", "Sub", "Mul", integer=Integer.FREE, activates=True, any_layout=True)
@lowers("Div", activates=True, any_layout=True)
def pair(op: Operation) -> None:
    """Write an operator of two tensors that broadcast."""
    code, options = _PAIRS[op.node.op_type]
    forms = op.aligned()
    if code == Op.MUL:
        op.multiplies(*forms)
    op.write(code, forms, _result(op, forms), options())


@lowers("Pow", any_layout=True)
def power(op: Operation) -> None:
    """Write a Pow; a square is a product with itself, for which LiteRT has fast kernels."""
    exponent = op.known(1)
    if (
        exponent is not None
        and exponent.size == 1
        and float(exponent.reshape(())) == 2.0
        and exponent.ndim <= len(op.shape(0))
    ):
        x = op.input(0)
        op.write(Op.MUL, [x, x], op.result(x), schema.MulOptionsT())
        return
    forms = op.aligned()
    op.write(Op.POW, forms, _result(op, forms), schema.PowOptionsT())


@lowers("Min", "Max", any_layout=True)
def extreme(op: Operation) -> None:
    """Write a Min or Max of any number of tensors."""
    code = Op.MINIMUM if op.node.op_type == "Min" else Op.MAXIMUM
    first, *others = op.aligned()
    if not others:
        op.hold(first)
        return
    for other in others[:-1]:
        like = op.result(first, shape=broadcast(first.shape, other.shape))
        first = op.emit(code, [first, other], like, schema.MaximumMinimumOptionsT())
    pair = [first, others[-1]]
    op.write(code, pair, _result(op, pair), schema.MaximumMinimumOptionsT())


@lowers(*_SINGLES, any_layout=True)
def single(op: Operation) -> None:
    """Write an operator of one tensor."""
    x = op.input(0)
    op.write(_SINGLES[op.node.op_type], [x], op.result(x))


def _result(op: Operation, forms: list[Form]) -> Form:
    shape: Shape = reduce(broadcast, (form.shape for form in forms))
    coarsest = max(forms, key=lambda form: form.encoding.scale[0] if form.encoding else 0.0)
    return op.result(coarsest, shape=shape)
