"""Products of matrices: dense layers, and products of two activations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.layouts import plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.quantization import Array, Floats, Kernel
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import Integer, lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE, broadcast


@lowers("Gemm", integer=Integer.FREE, weight=1, activates=True)
def gemm(op: Operation) -> None:
    """Write a Gemm whose second matrix is constant and whose summand, if any, is a constant a column."""
    alpha, beta = op.attributes.get_float("alpha", 1.0), op.attributes.get_float("beta", 1.0)
    array = op.constant(1, "its second matrix")
    outputs = 0 if op.attributes.get_int("transB", 0) else 1
    if alpha != 1.0:
        if op.forms.declared.weight(op.value(1)) is not None:
            raise Inexpressible("alpha is not 1 and its weight is encoded")
        array = array * np.float32(alpha)
    bias: Floats = np.zeros(array.shape[outputs], np.float32)
    if op.has(2):
        summand = op.constant(2, "its summand")
        if summand.size not in (1, len(bias)) or (summand.size != 1 and summand.shape[-1] != summand.size):
            raise Inexpressible(f"its summand of shape {summand.shape} is not one number a column")
        bias = bias + np.float32(beta) * summand.reshape(-1)
    x = op.input(0)
    if op.attributes.get_int("transA", 0):
        turned = op.forms.moved(x, (1, 0))
        x = replace(turned, shape=turned.shape[::-1], layout=(0, 1))
    _fully_connected(op, x, array, bias, outputs)


@lowers("MatMul", integer=Integer.FREE, weight=1, activates=True)
def matmul(op: Operation) -> None:
    """Write a MatMul: a dense layer where its second matrix is a constant of two axes, else a product of activations."""
    array = op.known(1)
    if array is not None and array.ndim == 2 and op.known(0) is None and len(op.shape(0)) >= 2:
        _fully_connected(op, op.input(0), array, np.zeros(array.shape[1], np.float32), outputs=1)
        return
    if op.fused.shift is not None or op.fused.scale is not None:
        raise Inexpressible("a bias after a product of activations")
    left, right = op.shape(0), op.shape(1)
    if min(len(left), len(right)) < 2 or left[-1] != right[-2]:
        raise Inexpressible(f"a product of {left} and {right}")
    x, turned_x = _factor(op, 0)
    y, turned_y = _factor(op, 1)
    op.multiplies(x, y)
    shape = (*broadcast(left[:-2], right[:-2]), left[-2], right[-1])
    options = schema.BatchMatMulOptionsT(adjX=turned_x, adjY=turned_y)
    op.write(Op.BATCH_MATMUL, [x, y], op.result(x, shape=shape, layout=plain(len(shape))), options)


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
    """Return a factor in the model's order, or with its last two axes swapped and True: the kernel takes either."""
    rank = len(op.shape(index))
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    if op.known(index) is None and (x := op.input(index)).layout == swapped:
        return x, True
    return op.plain(index), False
