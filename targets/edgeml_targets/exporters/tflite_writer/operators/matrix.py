"""Products of matrices: dense layers, and products of two activations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import apply
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.fusion import ACTIVATIONS
from edgeml_targets.exporters.tflite_writer.layouts import plain, squeezed
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.quantization import Array, Floats, Kernel
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, broadcast


@lowers("Gemm", integer=Integer.FREE, weight=1, activates=True)
def gemm(op: Operation) -> None:
    """Write a Gemm: a dense layer where matrix and summand are constants of a layer, else a product and a sum."""
    array = op.known(1)
    if array is None or not _is_bias(op.known(2) if op.has(2) else np.zeros(1), array):
        _general_gemm(op)
        return
    alpha, beta = op.attributes.get_float("alpha", 1.0), op.attributes.get_float("beta", 1.0)
    outputs = 0 if op.attributes.get_int("transB", 0) else 1
    if alpha != 1.0:
        if op.forms.declared.weight(op.value(1)) is not None:
            raise Inexpressible("alpha is not 1 and its weight is encoded")
        array = array * np.float32(alpha)
    bias: Floats = np.zeros(array.shape[outputs], np.float32)
    if op.has(2):
        bias = bias + np.float32(beta) * op.constant(2, "its summand").reshape(-1)
    _fully_connected(op, _turned(op, op.input(0), "transA"), array, bias, outputs)


@lowers("MatMul", integer=Integer.FREE, weight=1, activates=True)
def matmul(op: Operation) -> None:
    """Write a MatMul: a dense layer where its second matrix is a constant of two axes, else a product of two tensors."""
    array = op.known(1)
    if array is not None and array.ndim == 2 and op.known(0) is None and len(op.shape(0)) >= 2:
        _fully_connected(op, op.input(0), array, np.zeros(array.shape[1], np.float32), outputs=1)
        return
    if op.fused.shift is not None or op.fused.scale is not None:
        raise Inexpressible("a bias after a product of activations")
    op.compute_in_float()  # XNNPACK has no integer product of two activations; LiteRT's own made `tiny-transformer` 2.7 times slower
    left, right = op.shape(0), op.shape(1)
    if not left or not right or (FREE not in (left[-1], right[-2:][0]) and left[-1] != right[-2:][0]):
        raise Inexpressible(f"a product of {left} and {right}")
    (x, turned_x), (y, turned_y) = _factor(op, 0), _factor(op, 1)
    shape = (*broadcast(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
    options = schema.BatchMatMulOptionsT(adjX=turned_x, adjY=turned_y)
    like = op.result(x, shape=shape, layout=plain(len(shape)))
    if len(left) > 1 and len(right) > 1:
        op.write(Op.BATCH_MATMUL, [x, y], like, options)
        return
    made = op.clipped(Op.BATCH_MATMUL, [x, y], like, options)
    dropped = [len(shape) - 2] * (len(left) == 1) + [len(shape) - 1] * (len(right) == 1)
    kept = tuple(size for axis, size in enumerate(shape) if axis not in dropped)
    op.hold(replace(made, shape=kept, layout=squeezed(made.layout, dropped)))


def _general_gemm(op: Operation) -> None:
    """Write a Gemm of computed matrices, in float."""
    op.compute_in_float()
    x, y = (_turned(op, op.plain(i), name) for i, name in ((0, "transA"), (1, "transB")))
    x, y = (form if form.layout == (0, 1) else op.forms.moved(form, (0, 1)) for form in (x, y))
    like = op.result(x, shape=(x.shape[0], y.shape[1]))
    made = op.emit(Op.BATCH_MATMUL, [x, y], like, schema.BatchMatMulOptionsT())
    alpha, beta = op.attributes.get_float("alpha", 1.0), op.attributes.get_float("beta", 1.0)
    if alpha != 1.0:
        made = apply(op, Op.MUL, made, alpha)
    summand = op.lifted(2, 2) if op.has(2) and op.known(2) is None else None
    if op.has(2) and summand is None:
        array = op.constant(2, "its summand")
        summand = op.operand(array.reshape((1,) * (2 - array.ndim) + array.shape), plain(2))
    if summand is not None and beta != 0.0:
        summand = summand if summand.layout == (0, 1) else op.forms.moved(summand, (0, 1))
        made = apply(op, Op.ADD, made, summand if beta == 1.0 else apply(op, Op.MUL, summand, beta))
    if op.fused.limits is not None:
        made = op.emit(ACTIVATIONS[op.fused.limits][1], [made], made)
    op.hold(made)


def _is_bias(summand: Array | None, array: Array) -> bool:
    """Tell whether a summand is a constant a column, or one for all."""
    if summand is None:
        return False
    return summand.size == 1 or (summand.shape[-1] == summand.size and summand.size in array.shape)


def _turned(op: Operation, x: Form, name: str) -> Form:
    """Return a matrix transposed where the node's attribute says so."""
    if not op.attributes.get_int(name, 0):
        return x
    bare = x if None not in x.layout else op.forms.moved(x, plain(2))
    return replace(bare, shape=bare.shape[::-1], layout=tuple(1 - axis for axis in bare.layout if axis is not None))


def _fully_connected(op: Operation, x: Form, array: Floats, bias: Floats, outputs: int) -> None:
    """Write a dense layer over the last axis of `x`; `outputs` is the weight's axis of output columns."""
    rank = len(x.shape)
    if array.ndim != 2 or x.shape[-1] == FREE or x.shape[-1] != array.shape[1 - outputs]:
        raise Inexpressible(f"weights of {array.shape} do not fit an input of {x.shape}")
    flat = rank == 2  # the kernel flattens what it gets to rows, so axes of size 1 before the last do no harm
    if x.layout[-1] != rank - 1 or (not flat and None in x.layout):
        x = op.forms.moved(x, plain(rank))
    order = op.forms.columns.get(op.value(0))

    def rows_of_outputs(weight: Array) -> Array:
        rows = weight if outputs == 0 else weight.T
        return np.ascontiguousarray(rows if order is None else rows[:, order])

    kernel = Kernel(op.value(1), array, channel_axis=outputs, arrange=rows_of_outputs, file_axis=0)
    weight, summand = op.weights(x, kernel, bias)
    like = op.result(x, shape=(*x.shape[:-1], len(bias)), layout=plain(rank) if flat else x.layout)
    op.write(Op.FULLY_CONNECTED, [x, weight, summand], like, schema.FullyConnectedOptionsT(keepNumDims=not flat))


def _factor(op: Operation, index: int) -> tuple[Form, bool]:
    """Return a factor in the model's order, or with its last two axes swapped and True: the kernel takes either.

    A vector is a row on the left, a column on the right.
    """
    shape = op.shape(index)
    rank = len(shape)
    if rank == 1:
        lifted = (1, *shape) if index == 0 else (*shape, 1)
        return op.forms.reshape(op.plain(index), lifted, plain(2)), False
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    if op.known(index) is None and (x := op.input(index)).layout == swapped:
        return x, True
    return op.plain(index), False
