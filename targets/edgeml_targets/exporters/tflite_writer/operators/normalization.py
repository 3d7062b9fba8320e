"""Normalizations that no product before them could take over. All compute in float."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.schema_py_generated import BuiltinOperator as Op

from edgeml_targets.exporters.tflite_writer.arithmetic import along, apply, reduce_
from edgeml_targets.exporters.tflite_writer.forms import Form
from edgeml_targets.exporters.tflite_writer.fusion import normalization
from edgeml_targets.exporters.tflite_writer.layouts import CHANNELS_LAST, plain
from edgeml_targets.exporters.tflite_writer.operation import Operation
from edgeml_targets.exporters.tflite_writer.quantization import Floats
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.registry import lowers
from edgeml_targets.exporters.tflite_writer.shapes import FREE


@lowers("BatchNormalization", any_layout=True)
def batch_normalization(op: Operation) -> None:
    """Write a BatchNormalization as a product and a sum a channel."""
    factor, summand = normalization(op.node, op.forms.constants)
    x = op.input(0)
    like = op.result(x)
    scaled = op.emit(Op.MUL, [x, along(op, factor, 1, x)], like, schema.MulOptionsT())
    op.write(Op.ADD, [scaled, along(op, summand, 1, x)], like, schema.AddOptionsT())


@lowers("LayerNormalization", any_layout=True)
def layer_normalization(op: Operation) -> None:
    """Write a LayerNormalization over the axes from one on. Source: Ba et al. 2016, arXiv:1607.06450."""
    x, axes = _over_last(op)
    normal = _standardized(op, x, axes)
    op.hold(_scaled(op, normal, x.layout, centred=True))


@lowers("RMSNormalization", "SimplifiedLayerNormalization", any_layout=True)
def rms_normalization(op: Operation) -> None:
    """Write an RMSNormalization. Source: Zhang and Sennrich 2019, arXiv:1910.07467."""
    x, axes = _over_last(op)
    op.hold(_scaled(op, _divided(op, x, x, axes), x.layout, centred=False))


@lowers("InstanceNormalization", any_layout=True)
def instance_normalization(op: Operation) -> None:
    """Write an InstanceNormalization: over each sample's and channel's own elements, or its group's."""
    if (grouped := op.forms.grouped.get(op.value(0))) is not None:
        x, shape = grouped
        scale, bias = (np.repeat(op.constant(i, "its scale or bias"), x.shape[1] // shape[1]) for i in (1, 2))
        op.forms.grouped[op.node.outputs[0]] = _a_channel(op, _grouped(op, x, shape[1]), scale, bias), shape
        return
    x = op.input(0)
    normal = _standardized(op, x, range(2, len(x.shape)))
    op.hold(_a_channel(op, normal, op.constant(1, "its scale"), op.constant(2, "its bias")))


@lowers("GroupNormalization")
def group_normalization(op: Operation) -> None:
    """Write a GroupNormalization; scale and bias are one a group before opset 21. Source: arXiv:1803.08494."""
    shape, groups = op.shape(0), op.attributes.get_int("num_groups", 1)
    channels = shape[1]
    x = op.input(0, CHANNELS_LAST.get(len(shape), plain(len(shape))))
    scale, bias = op.constant(1, "its scale"), op.constant(2, "its bias")
    if scale.size == groups != channels:
        scale, bias = (np.repeat(vector, channels // groups) for vector in (scale, bias))
    op.hold(_a_channel(op, _grouped(op, x, groups), scale, bias))


@lowers("LpNormalization", any_layout=True)
def lp_normalization(op: Operation) -> None:
    """Write a division by the length along an axis."""
    x = op.input(0)
    axis = op.attributes.get_int("axis", -1) % len(x.shape)
    if op.attributes.get_int("p", 2) == 1:
        length = reduce_(op, Op.SUM, apply(op, Op.ABS, x), [axis])
    else:
        length = apply(op, Op.SQRT, reduce_(op, Op.SUM, apply(op, Op.MUL, x, x), [axis]))
    op.hold(apply(op, Op.DIV, x, length))


@lowers("MeanVarianceNormalization", any_layout=True)
def mean_variance_normalization(op: Operation) -> None:
    """Write a MeanVarianceNormalization."""
    x = op.input(0)
    axes = [axis % len(x.shape) for axis in op.attributes.get_ints("axes", (0, 2, 3))]
    op.hold(_standardized(op, x, axes, epsilon=1e-9))


@lowers("LRN")
def local_response_normalization(op: Operation) -> None:
    """Write an LRN; LiteRT's kernel takes the sum of squares where ONNX takes a mean over the window."""
    size = op.attributes.get_int("size", 1)
    if size % 2 == 0:
        raise Inexpressible("its window has an even size")
    x = op.channels_last(0)
    options = schema.LocalResponseNormalizationOptionsT(
        radius=size // 2,
        bias=op.attributes.get_float("bias", 1.0),
        alpha=op.attributes.get_float("alpha", 1e-4) / size,
        beta=op.attributes.get_float("beta", 0.75),
    )
    op.write(Op.LOCAL_RESPONSE_NORMALIZATION, [x], op.result(x), options)


def _over_last(op: Operation) -> tuple[Form, list[int]]:
    if any(value.uses() or value.is_graph_output() for value in op.node.outputs[1:]):
        raise Inexpressible("its mean or deviation is used")
    x = op.input(0)
    rank = len(x.shape)
    return x, list(range(op.attributes.get_int("axis", -1) % rank, rank))


def _standardized(op: Operation, x: Form, axes: Sequence[int], epsilon: float | None = None) -> Form:
    """Write what is left of a form over its deviation when its mean is taken off."""
    centred = apply(op, Op.SUB, x, reduce_(op, Op.MEAN, x, axes))
    return _divided(op, centred, centred, axes, epsilon)


def _divided(op: Operation, x: Form, by: Form, axes: Sequence[int], epsilon: float | None = None) -> Form:
    """Write a form over the root of another's mean square."""
    steady = op.attributes.get_float("epsilon", 1e-5) if epsilon is None else epsilon
    squares = reduce_(op, Op.MEAN, apply(op, Op.MUL, by, by), axes)
    return apply(op, Op.MUL, x, apply(op, Op.RSQRT, apply(op, Op.ADD, squares, steady)))


def _scaled(op: Operation, normal: Form, layout: tuple[int | None, ...], *, centred: bool) -> Form:
    """Write a scale, and a bias where there is one, that stand along the last axes."""
    rank = len(normal.shape)
    for index, code in ((1, Op.MUL), (2, Op.ADD))[: 2 if centred else 1]:
        if op.has(index):
            vector = op.constant(index, "its scale or bias")
            lifted = vector.astype(np.float32).reshape((1,) * (rank - vector.ndim) + vector.shape)
            normal = apply(op, code, normal, op.operand(lifted, layout))
    return normal


def _a_channel(op: Operation, normal: Form, scale: Floats, bias: Floats) -> Form:
    return apply(op, Op.ADD, apply(op, Op.MUL, normal, along(op, scale, 1, normal)), along(op, bias, 1, normal))


def _grouped(op: Operation, x: Form, groups: int) -> Form:
    """Write the standardized groups of channels: first over height and width, then over a group's channels."""
    channels = x.shape[1]
    if FREE in x.shape[1:] and channels == FREE:
        raise Inexpressible("its number of channels is free")
    mixing = np.kron(np.eye(groups), np.full((channels // groups,) * 2, groups / channels)).astype(np.float32)
    spatial = range(2, len(x.shape))
    centred = apply(op, Op.SUB, x, _mixed(op, reduce_(op, Op.MEAN, x, spatial), mixing))
    squares = _mixed(op, reduce_(op, Op.MEAN, apply(op, Op.MUL, centred, centred), spatial), mixing)
    steady = apply(op, Op.ADD, squares, op.attributes.get_float("epsilon", 1e-5))
    return apply(op, Op.MUL, centred, apply(op, Op.RSQRT, steady))


def _mixed(op: Operation, means: Form, mixing: Floats) -> Form:
    """Write the means over groups of what stands one a channel, as a product with a matrix."""
    moved = op.forms.moved(means, (*(axis for axis in means.layout if axis != 1), 1))
    bias = op.forms.file.constant(np.zeros(len(mixing), np.float32))
    options = schema.FullyConnectedOptionsT(keepNumDims=True)
    mixed = op.emit(Op.FULLY_CONNECTED, [moved, op.forms.file.constant(mixing), bias], moved, options)
    return op.forms.moved(mixed, means.layout)
