"""The operators that foreign models have besides those of image networks: each answers as ONNX Runtime does.

`CASES` is the list: the shape of an input after the batch, and a function that adds nodes to a network. A new operator is
one more line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pytest

Build = Callable[[Any, str], str]
IMAGE, SIGNAL, ROW = (6, 5, 4), (6, 9), (8,)


def numbers(*shape: int, low: float = -1.0, high: float = 1.0) -> Any:
    return np.random.default_rng(sum(shape) + len(shape)).uniform(low, high, shape).astype(np.float32)


def integers(*values: int) -> Any:
    return np.array(values, np.int64)


def simple(op_type: str, *constants: Any, **attributes: Any) -> Build:
    """Return a function that adds one operator; `None` among its constants is an input that is left out."""

    def add(net: Any, x: str) -> str:
        given = ["" if c is None else net.constant(c) for c in constants]
        return str(net.add(op_type, x, *given, **attributes))

    return add


def pair(op_type: str, constant: Any) -> Build:
    """Return a function that adds an operator whose first operand is the constant."""
    return lambda net, x: str(net.add(op_type, net.constant(constant), x))


def compared(op_type: str) -> Build:
    """Return a function that compares a value with a constant and makes numbers of the answer."""
    return lambda net, x: str(net.add("Cast", net.add(op_type, x, net.constant(numbers(5, 4))), to=1))


def logical(op_type: str) -> Build:
    def add(net: Any, x: str) -> str:
        above = net.add("Greater", x, net.constant(np.float32(0.2)))
        below = net.add("Less", x, net.constant(numbers(6, 1, 1)))
        return str(net.add("Cast", net.add(op_type, above, below), to=1))

    return add


def positive(op_type: str, **attributes: Any) -> Build:
    return lambda net, x: str(net.add(op_type, net.add("Exp", x), **attributes))


def _not(net: Any, x: str) -> str:
    return str(net.add("Cast", net.add("Not", net.add("Less", x, net.constant(np.float32(0)))), to=1))


def _where(net: Any, x: str) -> str:
    above = net.add("Greater", x, net.constant(np.float32(0)))
    return str(net.add("Where", above, x, net.constant(numbers(6, 1, 1))))


def _split(net: Any, x: str) -> str:
    first, second = net.add_many("Split", [x, net.constant(integers(2, 4))], 2, axis=1)
    return str(net.add("Concat", second, first, axis=1))


def _split_equally(net: Any, x: str) -> str:
    names = net.add_many("Split", [x], 3, axis=1)
    return str(net.add("Sub", names[2], names[0]))


def _matmul_left(net: Any, x: str) -> str:
    return str(net.add("MatMul", net.constant(numbers(3, 6)), x))


def _matmul_batched(net: Any, x: str) -> str:
    turned = net.add("Transpose", x, perm=[0, 1, 3, 2])
    return str(net.add("MatMul", x, turned))


def _gemm_of_two(net: Any, x: str) -> str:
    return str(net.add("Gemm", x, net.add("Tanh", x), net.constant(np.float32(0.5)), transA=1, alpha=0.5, beta=2.0))


def _conv_transpose(*shape: int, **attributes: Any) -> Build:
    outputs = shape[1] * attributes.get("group", 1)
    return lambda net, x: str(net.add("ConvTranspose", x, net.weight(*shape), net.bias(outputs), **attributes))


def _batch_shape(net: Any, x: str) -> str:
    """Ones as many as the batch, made by the model itself from the input's shape."""
    batch = net.add("Slice", net.add("Shape", x), net.constant(integers(0)), net.constant(integers(1)))
    ones = net.add("ConstantOfShape", net.add("Concat", batch, net.constant(integers(6, 1, 1)), axis=0))
    return str(net.add("Add", x, net.add("Exp", ones)))


def _expand_to_batch(net: Any, x: str) -> str:
    batch = net.add("Slice", net.add("Shape", x), net.constant(integers(0)), net.constant(integers(1)))
    to = net.add("Concat", batch, net.constant(integers(8)), axis=0)
    row = net.add("Expand", net.constant(numbers(1, 8)), to)
    return str(net.add("Concat", x, row, axis=1))


def _count_of_batch(net: Any, x: str) -> str:
    """The batch's size as a number that is computed with: x divided by twice the batch."""
    batch = net.add("Gather", net.add("Shape", x), net.constant(np.array(0, np.int64)))
    twice = net.add("Mul", batch, net.constant(np.array(2, np.int64)))
    return str(net.add("Div", x, net.add("Cast", twice, to=1)))


def _one_hot(net: Any, x: str) -> str:
    index = net.add("ArgMax", x, axis=1, keepdims=0)
    depth, values = net.constant(np.array(8, np.int64)), net.constant(np.array([-0.5, 2], np.float32))
    return str(net.add("OneHot", index, depth, values))


def _embedding(net: Any, x: str) -> str:
    index = net.add("ArgMax", x, axis=2, keepdims=0)
    return str(net.add("Gather", net.constant(numbers(9, 5)), index))


def _computed_limits(net: Any, x: str) -> str:
    return str(net.add("Clip", x, net.constant(np.float32(-0.3)), net.add("ReduceMax", x, keepdims=0)))


def _gelu_of_erf(net: Any, x: str) -> str:
    bent = net.add("Erf", net.add("Div", x, net.constant(np.float32(2**0.5))))
    raised = net.add("Mul", x, net.add("Add", bent, net.constant(np.float32(1))))
    return str(net.add("Mul", raised, net.constant(np.float32(0.5))))


TWICE: Final = np.array([1, 1, 2, 2], np.float32)
UNEVEN: Final = np.array([1, 1, 1.4, 2], np.float32)


def _index(op_type: str, **attributes: Any) -> Build:
    return lambda net, x: str(net.add("Cast", net.add(op_type, x, **attributes), to=1))


def _resize(mode: str, scales: Any, **attributes: Any) -> Build:
    return simple("Resize", None, scales, mode=mode, **attributes)


def _size(mode: str, *sizes: int, **attributes: Any) -> Build:
    def add(net: Any, x: str) -> str:
        batch = net.add("Slice", net.add("Shape", x), net.constant(integers(0)), net.constant(integers(2)))
        to = net.add("Concat", batch, net.constant(integers(*sizes)), axis=0)
        return str(net.add("Resize", x, "", "", to, mode=mode, **attributes))

    return add


CASES: Final[Mapping[str, tuple[tuple[int, ...], Build]]] = {
    "ConvTranspose": (IMAGE, _conv_transpose(6, 3, 2, 2, strides=[2, 2])),
    "ConvTranspose, padded": (IMAGE, _conv_transpose(6, 3, 4, 4, strides=[2, 2], pads=[1, 1, 1, 1])),
    "ConvTranspose, padded unevenly": (IMAGE, _conv_transpose(6, 3, 3, 3, strides=[2, 2], pads=[1, 0, 0, 1])),
    "ConvTranspose, padded more": (IMAGE, _conv_transpose(6, 3, 3, 3, strides=[2, 2], pads=[1] * 4, output_padding=[1, 1])),
    "ConvTranspose, dilated": (IMAGE, _conv_transpose(6, 3, 3, 2, dilations=[2, 1])),
    "ConvTranspose, grouped": (IMAGE, _conv_transpose(6, 2, 3, 3, group=3, strides=[2, 1])),
    "ConvTranspose, depthwise": (IMAGE, _conv_transpose(6, 1, 2, 2, group=6, strides=[2, 2])),
    "ConvTranspose of a signal": (SIGNAL, _conv_transpose(6, 4, 4, strides=[2], pads=[1, 1])),
    "ConvTranspose, padded by name": (IMAGE, _conv_transpose(6, 3, 3, 3, strides=[2, 2], auto_pad="SAME_UPPER")),
    "LpPool": (IMAGE, simple("LpPool", kernel_shape=[2, 2], p=2)),
    "GlobalLpPool": (IMAGE, simple("GlobalLpPool", p=1)),
    "MaxPool, dilated": (IMAGE, simple("MaxPool", kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])),
    "MaxPool of a signal, dilated": (SIGNAL, simple("MaxPool", kernel_shape=[3], dilations=[2], strides=[2])),
    "MatMul, the left constant": (IMAGE[:2], _matmul_left),
    "MatMul by a matrix a batch": (IMAGE, simple("MatMul", numbers(6, 4, 3))),
    "MatMul by a vector": (SIGNAL, simple("MatMul", numbers(9))),
    "MatMul of a vector": (SIGNAL, pair("MatMul", numbers(6))),
    "MatMul of two": (IMAGE, _matmul_batched),
    "Gemm of two": (ROW, _gemm_of_two),
    "Gemm with a computed summand": (ROW, lambda net, x: str(net.add("Gemm", x, net.weight(8, 8), x))),
    "Equal": (IMAGE, lambda net, x: str(net.add("Cast", net.add("Equal", x, net.add("Relu", x)), to=1))),
    "Greater": (IMAGE, compared("Greater")),
    "GreaterOrEqual": (IMAGE, compared("GreaterOrEqual")),
    "Less": (IMAGE, compared("Less")),
    "LessOrEqual": (IMAGE, compared("LessOrEqual")),
    "And": (IMAGE, logical("And")),
    "Or": (IMAGE, logical("Or")),
    "Xor": (IMAGE, logical("Xor")),
    "Not": (IMAGE, _not),
    "Where": (IMAGE, _where),
    "Sub from a constant": (IMAGE, pair("Sub", numbers(6, 1, 1))),
    "Div of a constant": (IMAGE, lambda net, x: str(net.add("Div", net.constant(numbers(4)), net.add("Exp", x)))),
    "Pow of 3": (IMAGE, simple("Pow", np.float32(3))),
    "Pow of a whole 3": (IMAGE, simple("Pow", np.int64(3))),
    "Pow of whole numbers": (IMAGE, simple("Pow", np.arange(4, dtype=np.int32))),
    "Pow of a half": (IMAGE, lambda net, x: str(net.add("Pow", net.add("Exp", x), net.constant(np.float32(0.5))))),
    "Mod": (IMAGE, lambda net, x: str(net.add("Mod", x, net.constant(np.float32(0.3)), fmod=1))),
    "Sum": (IMAGE, simple("Sum", numbers(6, 1, 1), numbers(4))),
    "Mean": (IMAGE, simple("Mean", numbers(6, 1, 1), numbers(4))),
    "Max of two": (IMAGE, lambda net, x: str(net.add("Max", x, net.add("Neg", x)))),
    "Neg": (IMAGE, simple("Neg")),
    "Ceil": (IMAGE, simple("Ceil")),
    "Floor": (IMAGE, simple("Floor")),
    "Round": (IMAGE, simple("Round")),
    "Sign": (IMAGE, simple("Sign")),
    "Sin": (IMAGE, simple("Sin")),
    "Cos": (IMAGE, simple("Cos")),
    "Tan": (IMAGE, lambda net, x: str(net.add("Tan", net.add("Tanh", x)))),
    "Sqrt": (IMAGE, positive("Sqrt")),
    "Log": (IMAGE, positive("Log")),
    "Reciprocal": (IMAGE, positive("Reciprocal")),
    "Erf": (IMAGE, simple("Erf")),
    "Gelu by Erf": (IMAGE, _gelu_of_erf),
    "Softplus": (IMAGE, simple("Softplus")),
    "Softsign": (IMAGE, simple("Softsign")),
    "Selu": (IMAGE, simple("Selu")),
    "Celu": (IMAGE, simple("Celu", alpha=0.7)),
    "Elu with a slope": (IMAGE, simple("Elu", alpha=0.7)),
    "ThresholdedRelu": (IMAGE, simple("ThresholdedRelu", alpha=0.3)),
    "PRelu a channel": (IMAGE, simple("PRelu", numbers(6, 1, 1))),
    "PRelu": (ROW, simple("PRelu", numbers(1))),
    "Clip to what is computed": (IMAGE, _computed_limits),
    "LayerNormalization of three axes": (IMAGE, simple("LayerNormalization", numbers(6, 5, 4), numbers(6, 5, 4), axis=1)),
    "InstanceNormalization": (IMAGE, simple("InstanceNormalization", numbers(6), numbers(6))),
    "InstanceNormalization of a signal": (SIGNAL, simple("InstanceNormalization", numbers(6), numbers(6))),
    "LpNormalization": (IMAGE, simple("LpNormalization", axis=1)),
    "MeanVarianceNormalization": (IMAGE, simple("MeanVarianceNormalization", axes=[2, 3])),
    "LRN": (IMAGE, simple("LRN", size=3, alpha=0.1, beta=0.75, bias=1.0)),
    "ReduceProd": (IMAGE, simple("ReduceProd", axes=[2], keepdims=0)),
    "ReduceMin": (IMAGE, simple("ReduceMin", axes=[1, 2], keepdims=1)),
    "ReduceL1": (IMAGE, simple("ReduceL1", axes=[1], keepdims=0)),
    "ReduceL2": (IMAGE, simple("ReduceL2", axes=[3], keepdims=1)),
    "ReduceSumSquare": (IMAGE, simple("ReduceSumSquare", axes=[2, 3], keepdims=0)),
    "ReduceLogSum": (IMAGE, positive("ReduceLogSum", axes=[2])),
    "ReduceLogSumExp": (IMAGE, simple("ReduceLogSumExp", axes=[1, 3], keepdims=0)),
    "ArgMax": (IMAGE, _index("ArgMax", axis=1)),
    "ArgMin": (IMAGE, _index("ArgMin", axis=-1, keepdims=0)),
    "CumSum": (IMAGE, simple("CumSum", np.array(1, np.int64))),
    "CumSum, backwards": (IMAGE, simple("CumSum", np.array(3, np.int64), exclusive=1, reverse=1)),
    "Slice": (IMAGE, simple("Slice", integers(1, -3), integers(5, 4), integers(1, 2), integers(2, 1))),
    "Slice, backwards": (IMAGE, simple("Slice", integers(-1), integers(-(2**31)), integers(2), integers(-2))),
    "Slice to the end": (IMAGE, simple("Slice", integers(0, 2), integers(2**31 - 1, 2**31 - 1), integers(0, 3))),
    "Split": (IMAGE, _split),
    "Split equally": (IMAGE, _split_equally),
    "Gather one": (IMAGE, simple("Gather", np.array(-2, np.int64), axis=1)),
    "Gather": (IMAGE, simple("Gather", integers(3, -1, 3), axis=2)),
    "Gather a matrix": (IMAGE, simple("Gather", np.array([[0, 2], [1, -1]]), axis=3)),
    "Gather what is computed": (SIGNAL, _embedding),
    "OneHot": (ROW, _one_hot),
    "Pad by its edge": (IMAGE, simple("Pad", integers(0, 0, 1, 2, 0, 0, 0, 3), mode="edge")),
    "Pad by less than nothing": (IMAGE, simple("Pad", integers(0, -1, 0, -1, 0, 0, -2, 0))),
    "Tile": (IMAGE, simple("Tile", integers(1, 2, 1, 3))),
    "Expand": (ROW, lambda net, x: str(net.add("Expand", net.add("Unsqueeze", x, net.constant(integers(1))), net.constant(integers(1, 3, 1))))),
    "Expand to the batch": (ROW, _expand_to_batch),
    "ConstantOfShape of the batch": (IMAGE, _batch_shape),
    "the batch as a number": (ROW, _count_of_batch),
    "DepthToSpace": ((8, 3, 2), simple("DepthToSpace", blocksize=2)),
    "DepthToSpace, channels first": ((8, 3, 2), simple("DepthToSpace", blocksize=2, mode="CRD")),
    "SpaceToDepth": ((3, 4, 6), simple("SpaceToDepth", blocksize=2)),
    "Resize to the nearest": (IMAGE, _resize("nearest", TWICE)),
    "Resize to the nearest, as Paddle": (IMAGE, _resize("nearest", TWICE, coordinate_transformation_mode="asymmetric", nearest_mode="floor")),
    "Resize to the nearest, corners aligned": (IMAGE, _resize("nearest", TWICE, coordinate_transformation_mode="align_corners")),
    "Resize to the nearest by no whole factor": (IMAGE, _resize("nearest", UNEVEN)),
    "Resize to the nearest of a size": (IMAGE, _size("nearest", 7, 3)),
    "Resize linearly": (IMAGE, _resize("linear", TWICE)),
    "Resize linearly, as torch": (IMAGE, _resize("linear", TWICE, coordinate_transformation_mode="pytorch_half_pixel")),
    "Resize linearly, corners aligned": (IMAGE, _resize("linear", TWICE, coordinate_transformation_mode="align_corners")),
    "Resize linearly from the first": (IMAGE, _resize("linear", TWICE, coordinate_transformation_mode="asymmetric")),
    "Resize linearly to a size": (IMAGE, _size("linear", 7, 3)),
    "Resize a signal": (SIGNAL, _resize("nearest", np.array([1, 1, 2], np.float32))),
}  # fmt: skip


LATER: Final[Mapping[str, tuple[int, tuple[int, ...], Build]]] = {
    "Mish": (18, IMAGE, simple("Mish")),
    "Split into three": (18, IMAGE, lambda net, x: str(net.add("Concat", *net.add_many("Split", [x], 3, axis=2, num_outputs=3)[::-1], axis=2))),
    "ReduceMean": (18, IMAGE, simple("ReduceMean", integers(-1, 1), keepdims=0)),
    "ReduceL2": (18, IMAGE, simple("ReduceL2", integers(1))),
    "ReduceSum of nothing": (18, IMAGE, simple("ReduceSum", noop_with_empty_axes=1)),
    "Pad, axes listed": (18, IMAGE, simple("Pad", integers(1, 0, 2, 1), None, integers(3, 1))),
    "Resize, axes listed": (18, IMAGE, simple("Resize", None, np.array([2, 3], np.float32), axes=[3, 2])),
    "Gelu": (20, IMAGE, simple("Gelu")),
    "Gelu with tanh": (20, IMAGE, simple("Gelu", approximate="tanh")),
    "GroupNormalization": (21, IMAGE, simple("GroupNormalization", numbers(6), numbers(6), num_groups=2)),
    "GroupNormalization of a signal": (21, SIGNAL, simple("GroupNormalization", numbers(6), numbers(6), num_groups=3)),
    "RMSNormalization": (23, IMAGE, simple("RMSNormalization", numbers(4))),
}  # fmt: skip


@pytest.mark.parametrize("name", LATER)
def test_a_later_operator_is_the_same_in_float(network: Any, parity: Any, name: str) -> None:
    opset, shape, build = LATER[name]
    net = network({"x": ("batch", *shape)}, opset=opset)
    model = net.finish(build(net, "x"))
    x = net.samples(2)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


def built(network: Any, name: str) -> tuple[Any, Any]:
    shape, build = CASES[name]
    net = network({"x": ("batch", *shape)})
    return net, net.finish(build(net, "x"))


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_the_same_in_float(network: Any, parity: Any, name: str) -> None:
    net, model = built(network, name)
    x = net.samples(3)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name, (shape, _) in CASES.items() if shape != ROW])
def test_between_convolutions_it_is_the_same_in_float(network: Any, parity: Any, name: str) -> None:
    shape, build = CASES[name]
    net = network({"x": ("batch", 3, *shape[1:])})
    y = build(net, net.conv("x", (shape[0], 3, *[1] * (len(shape) - 1))))
    model = net.finish(net.add("Tanh", y))
    x = net.samples(1)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


# What has kernels for integers; ConvTranspose rounds once, a Resize between steps, and what is joined again twice.
IN_INTEGERS: Final = [
    name
    for name in CASES
    if name.startswith(("ConvTranspose", "Slice", "Split", "Gather", "Tile", "Expand", "DepthToSpace", "SpaceToDepth", "Resize", "PRelu", "Max", "Where"))
    and name not in ("Gather what is computed", "Expand to the batch")
]  # fmt: skip


@pytest.mark.parametrize("name", IN_INTEGERS)
def test_an_operator_in_integers_is_within_two_steps(network: Any, steps_apart: Any, name: str) -> None:
    net, model = built(network, name)
    assert steps_apart(model, net.samples(3)) <= 2.01
