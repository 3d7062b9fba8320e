"""Operators that take two tensors, or one, element by element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import BOOL, apply, number, options_of
from edgeml_targets.exporters.tflite_writer.forms import FLOAT32, Form
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import Shape, broadcast

_INT32: Final = np.dtype(np.int32)
_PAIRS: Final[Mapping[str, int]] = {"Add": Op.ADD, "Sub": Op.SUB, "Mul": Op.MUL}
_SINGLES: Final[Mapping[str, int]] = {
    "Abs": Op.ABS,
    "Ceil": Op.CEIL,
    "Cos": Op.COS,
    "Exp": Op.EXP,
    "Floor": Op.FLOOR,
    "Log": Op.LOG,
    "Neg": Op.NEG,
    "Not": Op.LOGICAL_NOT,
    "Round": Op.ROUND,
    "Sign": Op.SIGN,
    "Sin": Op.SIN,
    "Sqrt": Op.SQRT,
}
_COMPARISONS: Final[Mapping[str, int]] = {
    "Equal": Op.EQUAL,
    "Greater": Op.GREATER,
    "GreaterOrEqual": Op.GREATER_EQUAL,
    "Less": Op.LESS,
    "LessOrEqual": Op.LESS_EQUAL,
    "And": Op.LOGICAL_AND,
    "Or": Op.LOGICAL_OR,
    "Xor": Op.NOT_EQUAL,
}


@lowers("Add", "Sub", "Mul", integer=Integer.FREE, activates=True, any_layout=True)
def pair(op: Operation) -> None:
    """Write an operator of two tensors that broadcast."""
    code = _PAIRS[op.node.op_type]
    if (
        not op.integer
        and op.fused.limits is None
        and (kept := _unchanged(op, 1.0 if code == Op.MUL else 0.0)) is not None
    ):
        op.hold(op.input(kept))
        return
    forms = op.aligned()
    if code == Op.MUL:
        op.multiplies(*forms)
    op.write(code, forms, _result(op, forms), options_of(code))


@lowers("Div", integer=Integer.FREE, activates=True, any_layout=True)
def divide(op: Operation) -> None:
    """Write a Div; whole numbers are rounded towards 0, as ONNX has it.

    The kernel does not know int8, where a product with the reciprocal of a constant takes its place.
    """
    divisor = op.known(1)
    if op.integer and divisor is not None and divisor.ndim <= len(op.shape(0)) and divisor.all():
        x = op.input(0)
        lifted = (1 / divisor).astype(np.float32).reshape((1,) * (len(x.shape) - divisor.ndim) + divisor.shape)
        pair_ = [x, op.operand(lifted, x.layout)]
        op.multiplies(*pair_)
        op.write(Op.MUL, pair_, _result(op, pair_), schema.MulOptionsT())
        return
    op.compute_in_float()
    forms = op.aligned()
    if forms[0].dtype == FLOAT32:
        op.write(Op.DIV, forms, _result(op, forms), schema.DivOptionsT())
        return
    shape = _result(op, forms).shape
    narrow = [_cast(op, form, _INT32) for form in forms]  # the kernel has no 64 bits
    made = op.emit(Op.DIV, narrow, replace(narrow[0], shape=shape), schema.DivOptionsT())
    op.hold(_cast(op, made, forms[0].dtype))


@lowers("Pow", any_layout=True)
def power(op: Operation) -> None:
    """Write a Pow; squares and roots have kernels of their own, which are faster.

    The kernel wants both of one type, and ONNX lets the exponent have another; the result has the base's.
    """
    exponent = op.known(1)
    if exponent is not None and exponent.size == 1 and exponent.ndim <= len(op.shape(0)):
        x = op.input(0)
        of = float(exponent.reshape(()))
        if of == 2.0:
            op.write(Op.MUL, [x, x], op.result(x), schema.MulOptionsT())
            return
        if of == 0.5 and x.dtype == FLOAT32:
            op.write(Op.SQRT, [x], op.result(x))
            return
        if x.dtype != FLOAT32 and (of < 0 or not of.is_integer()):
            raise Inexpressible(f"its exponent is {of:g}, and its base whole numbers")
        forms = [x, number(op, of, x)]
    else:
        forms = op.aligned()
        if forms[0].dtype != FLOAT32 and forms[1].dtype != forms[0].dtype:
            raise Inexpressible(f"its exponents are {forms[1].dtype}, and its base {forms[0].dtype}")
        forms[1] = _cast(op, forms[1], forms[0].dtype)
    if forms[0].dtype not in (FLOAT32, _INT32):
        raise Inexpressible(f"its base is {forms[0].dtype}, and LiteRT knows powers of float32 and int32")
    op.write(Op.POW, forms, _result(op, forms), schema.PowOptionsT())


@lowers("Mod", any_layout=True)
def modulo(op: Operation) -> None:
    """Write a Mod: with the divisor's sign, or, where `fmod` is set, the dividend's."""
    forms = op.aligned()
    if not op.attributes.get_int("fmod", 0):
        op.write(Op.FLOOR_MOD, forms, _result(op, forms), schema.FloorModOptionsT())
        return
    if forms[0].dtype != FLOAT32:
        raise Inexpressible("fmod of integers")
    positive = apply(op, Op.FLOOR_MOD, *(apply(op, Op.ABS, form) for form in forms))
    op.hold(apply(op, Op.MUL, positive, apply(op, Op.SIGN, forms[0])))


@lowers("Min", "Max", integer=Integer.FREE, any_layout=True)
def extreme(op: Operation) -> None:
    """Write a Min or Max of any number of tensors; integers are brought to the output's scale first, as the kernel asks."""
    forms = op.aligned(op.declared if op.integer else None)
    _in_turn(op, Op.MINIMUM if op.node.op_type == "Min" else Op.MAXIMUM, forms)


@lowers("Sum", any_layout=True)
def total(op: Operation) -> None:
    """Write a Sum of any number of tensors."""
    _in_turn(op, Op.ADD, op.aligned())


@lowers("Mean", any_layout=True)
def average(op: Operation) -> None:
    """Write a Mean of any number of tensors."""
    forms = op.aligned()
    made = forms[0]
    for form in forms[1:]:
        made = apply(op, Op.ADD, made, form)
    op.hold(apply(op, Op.MUL, made, 1 / len(forms)))


@lowers(*_SINGLES, any_layout=True)
def single(op: Operation) -> None:
    """Write an operator of one tensor, in float: of integers XNNPACK knows none, and LiteRT's own Abs takes 27 times as long."""
    x = op.input(0)
    code = _SINGLES[op.node.op_type]
    op.write(code, [x], op.result(x), options_of(code))


@lowers("Reciprocal", any_layout=True)
def reciprocal(op: Operation) -> None:
    """Write a Reciprocal."""
    x = op.input(0)
    op.write(Op.DIV, [number(op, 1.0, x), x], op.result(x), schema.DivOptionsT())


@lowers("Tan", any_layout=True)
def tangent(op: Operation) -> None:
    """Write a Tan."""
    x = op.input(0)
    op.hold(apply(op, Op.DIV, apply(op, Op.SIN, x), apply(op, Op.COS, x)))


@lowers(*_COMPARISONS, any_layout=True)
def compare(op: Operation) -> None:
    """Write a comparison, or an operator of two truth values."""
    forms = op.aligned()
    code = _COMPARISONS[op.node.op_type]
    op.write(code, forms, replace(_result(op, forms), dtype=BOOL), options_of(code))


@lowers("Where", any_layout=True)
def where(op: Operation) -> None:
    """Write a Where."""
    forms = op.aligned()
    shape = _result(op, forms).shape
    op.write(Op.SELECT_V2, forms, replace(op.result(forms[1]), shape=shape), schema.SelectV2OptionsT())


def _unchanged(op: Operation, neutral: float) -> int | None:
    """Return which input the output equals because the other is a constant that changes nothing."""
    for index, other in ((0, 1), (1, 0)) if op.node.op_type != "Sub" else ((0, 1),):
        array = op.known(other)
        if array is not None and op.known(index) is None and (array == neutral).all():
            small = array.ndim <= len(op.shape(index)) and array.size == 1
            return index if small else None
    return None


def _in_turn(op: Operation, code: int, forms: list[Form]) -> None:
    first, *others = forms
    if not others:
        op.hold(first)
        return
    for other in others[:-1]:
        like = op.result(first, shape=broadcast(first.shape, other.shape))
        first = op.emit(code, [first, other], like, options_of(code))
    last = [first, others[-1]]
    op.write(code, last, _result(op, last), options_of(code))


def _cast(op: Operation, form: Form, dtype: np.dtype[np.generic]) -> Form:
    if form.dtype == dtype:
        return form
    return op.emit(Op.CAST, [form], replace(form, dtype=dtype), schema.CastOptionsT())


def _result(op: Operation, forms: list[Form]) -> Form:
    shape: Shape = reduce(broadcast, (form.shape for form in forms))
    coarsest = max(forms, key=lambda form: form.encoding.scale[0] if form.encoding else 0.0)
    return op.result(coarsest, shape=shape)
