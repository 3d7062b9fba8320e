"""Normalizations that no product before them could take over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import along
from edgeml_targets.exporters.tflite_writer.fusion import normalization
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import lowers


@lowers("BatchNormalization", any_layout=True)
def batch_normalization(op: Operation) -> None:
    """Write a BatchNormalization as a product and a sum a channel."""
    factor, summand = normalization(op.node, op.forms.constants)
    x = op.input(0)
    like = op.result(x)
    scaled = op.emit(Op.MUL, [x, along(op, factor, 1, x)], like, schema.MulOptionsT())
    op.write(Op.ADD, [scaled, along(op, summand, 1, x)], like, schema.AddOptionsT())


@lowers("LayerNormalization")
def layer_normalization(op: Operation) -> None:
    """Write a LayerNormalization over the last axis from means and products."""
    rank = len(op.shape(0))
    if op.attributes.get_int("axis", -1) % rank != rank - 1:
        raise Inexpressible("it normalizes over more than the last axis")
    x = op.input(0)
    last = op.integers([x.layout.index(rank - 1)])
    row = replace(x, shape=(*x.shape[:-1], 1))
    keep = schema.ReducerOptionsT(keepDims=True)
    mean = op.emit(Op.MEAN, [x, last], row, keep)
    centred = op.emit(Op.SUB, [x, mean], x, schema.SubOptionsT())
    squares = op.emit(Op.MUL, [centred, centred], x, schema.MulOptionsT())
    variance = op.emit(Op.MEAN, [squares, last], row, keep)
    epsilon = along(op, np.array([op.attributes.get_float("epsilon", 1e-5)]), rank - 1, x)
    steadied = op.emit(Op.ADD, [variance, epsilon], row, schema.AddOptionsT())
    inverse = op.emit(Op.RSQRT, [steadied], row)
    scale = along(op, op.constant(1, "its scale"), rank - 1, x)
    normal = op.emit(Op.MUL, [centred, inverse], x, schema.MulOptionsT())
    if not op.has(2):
        op.write(Op.MUL, [normal, scale], op.result(x), schema.MulOptionsT())
        return
    scaled = op.emit(Op.MUL, [normal, scale], x, schema.MulOptionsT())
    op.write(Op.ADD, [scaled, along(op, op.constant(2, "its bias"), rank - 1, x)], op.result(x), schema.AddOptionsT())
