"""Every operator answers as ONNX Runtime does: alone, between convolutions, in integers, at any batch.

`CASES` is the list: a function that adds one operator to a network of images. A new operator is one more function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pytest

from edgeml_targets.contract.encodings import Encodings, affine

Case = Callable[[Any, str], str]
CHANNELS, HEIGHT, WIDTH = 6, 5, 4


def numbers(*shape: int, low: float = -1.0, high: float = 1.0) -> Any:
    return np.random.default_rng(len(shape)).uniform(low, high, shape).astype(np.float32)


def integers(*values: int) -> Any:
    return np.array(values, np.int64)


def _batch_normalization(net: Any, x: str) -> str:
    parameters = [numbers(CHANNELS), numbers(CHANNELS), numbers(CHANNELS), numbers(CHANNELS, low=0.5, high=2.0)]
    return str(net.add("BatchNormalization", x, *[net.constant(p) for p in parameters]))


def _layer_normalization(net: Any, x: str) -> str:
    return str(net.add("LayerNormalization", x, net.constant(numbers(WIDTH)), net.constant(numbers(WIDTH))))


def _squeeze_and_excite(net: Any, x: str) -> str:
    gate = net.add("Sigmoid", net.conv(net.add("GlobalAveragePool", x), (CHANNELS, CHANNELS, 1, 1)))
    return str(net.add("Mul", x, gate))


def _squeeze(net: Any, x: str) -> str:
    pooled = net.add("GlobalAveragePool", x)
    return str(net.add("Gemm", net.add("Squeeze", pooled, net.constant(integers(2, 3))), net.weight(CHANNELS, 3)))


def _unsqueeze(net: Any, x: str) -> str:
    mean = net.add("ReduceMean", x, axes=[2, 3], keepdims=0)
    return str(net.add("Mul", x, net.add("Unsqueeze", mean, net.constant(integers(2, 3)))))


def _flatten_dense(net: Any, x: str) -> str:
    return str(net.add("Gemm", net.add("Flatten", x), net.weight(CHANNELS * HEIGHT * WIDTH, 7), net.bias(7)))


def _flatten(net: Any, x: str) -> str:
    return str(net.add("Relu", net.add("Flatten", x)))


def _shape_arithmetic(net: Any, x: str) -> str:
    batch = net.add("Gather", net.add("Shape", x), net.constant(integers(0)))
    return str(net.add("Reshape", x, net.add("Concat", batch, net.constant(integers(-1)), axis=0)))


def _attention(net: Any, x: str) -> str:
    tokens = net.add("Reshape", x, net.constant(integers(0, CHANNELS, HEIGHT * WIDTH)))
    scores = net.add("Softmax", net.add("MatMul", net.add("Transpose", tokens, perm=[0, 2, 1]), tokens), axis=-1)
    return str(net.add("MatMul", tokens, scores))


def _dense_over_rows(net: Any, x: str) -> str:
    product = net.add("MatMul", x, net.constant(numbers(WIDTH, 3)))
    return str(net.add("Relu", net.add("Add", product, net.bias(3))))


def _two_branches(net: Any, x: str) -> str:
    left, right = net.conv(x, (4, CHANNELS, 1, 1)), net.conv(x, (3, CHANNELS, 1, 1))
    return str(net.add("Concat", left, right, x, axis=1))


def simple(op_type: str, *constants: Any, **attributes: Any) -> Case:
    def add(net: Any, x: str) -> str:
        return str(net.add(op_type, x, *[net.constant(c) for c in constants], **attributes))

    return add


CASES: Final[Mapping[str, Case]] = {
    "Relu": simple("Relu"),
    "Clip to 0 and 6": simple("Clip", np.float32(0), np.float32(6)),
    "Clip to -1 and 1": simple("Clip", np.float32(-1), np.float32(1)),
    "Clip to -0.3 and 0.8": simple("Clip", np.float32(-0.3), np.float32(0.8)),
    "Sigmoid": simple("Sigmoid"),
    "Tanh": simple("Tanh"),
    "HardSwish": simple("HardSwish"),
    "HardSigmoid": simple("HardSigmoid", alpha=1 / 6, beta=0.5),
    "LeakyRelu": simple("LeakyRelu", alpha=0.2),
    "Elu": simple("Elu"),
    "Softmax over channels": simple("Softmax", axis=1),
    "Softmax over columns": simple("Softmax", axis=-1),
    "LogSoftmax": simple("LogSoftmax", axis=1),
    "Add a number": simple("Add", np.float32(0.7)),
    "Add a number a channel": simple("Add", numbers(CHANNELS, 1, 1)),
    "Add an image": simple("Add", numbers(1, CHANNELS, HEIGHT, WIDTH)),
    "Sub": simple("Sub", numbers(CHANNELS, 1, 1)),
    "Mul": simple("Mul", numbers(1, CHANNELS, 1, 1)),
    "Mul a row": simple("Mul", numbers(WIDTH)),
    "Div": simple("Div", numbers(CHANNELS, 1, 1, low=0.5, high=2.0)),
    "Pow": simple("Pow", np.float32(2)),
    "Min": simple("Min", np.float32(0.4)),
    "Max": simple("Max", np.float32(0.4), np.float32(0.1)),
    "Abs": simple("Abs"),
    "Exp": simple("Exp"),
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "GlobalAveragePool": simple("GlobalAveragePool"),
    "GlobalMaxPool": simple("GlobalMaxPool"),
    "ReduceMean, axes kept": simple("ReduceMean", axes=[2, 3]),
    "ReduceMean, axes dropped": simple("ReduceMean", axes=[-1], keepdims=0),
    "ReduceMean of everything but the batch": simple("ReduceMean", axes=[1, 2, 3], keepdims=0),
    "ReduceMax": simple("ReduceMax", axes=[1], keepdims=0),
    "ReduceSum": simple("ReduceSum", integers(3)),
    "Transpose": simple("Transpose", perm=[0, 2, 1, 3]),
    "Flatten": _flatten,
    "Flatten before a dense layer": _flatten_dense,
    "Reshape with 0 and -1": simple("Reshape", integers(0, -1, WIDTH)),
    "Reshape by shape arithmetic": _shape_arithmetic,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Squeeze and excite": _squeeze_and_excite,
    "Concat": _two_branches,
    "Pad with zeros": simple("Pad", integers(0, 0, 1, 2, 0, 0, 0, 1)),
    "Pad with a number": simple("Pad", integers(0, 1, 1, 0, 0, 0, 0, 1), np.float32(0.25)),
    "Pad by mirroring": simple("Pad", integers(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect"),
    "Identity": simple("Identity"),
    "Dropout": simple("Dropout"),
    "Cast": simple("Cast", to=1),
    "Attention": _attention,
    "Dense over rows": _dense_over_rows,
}
# Not one rounding but several: the kernel's own inner steps, or integers on both sides of what is computed in float.
SEVERAL_ROUNDINGS: Final = {"Attention": 3.0, "Squeeze and excite": 2.0}


def alone(network: Any, case: Case) -> Any:
    net = network({"x": ("batch", CHANNELS, HEIGHT, WIDTH)})
    return net, net.finish(case(net, "x"))


def between_convolutions(network: Any, case: Case) -> Any:
    net = network({"x": ("batch", 3, HEIGHT, WIDTH)})
    y = case(net, net.conv("x", (CHANNELS, 3, 3, 3), pads=[1] * 4))
    return net, net.finish(net.add("Tanh", y))


@pytest.mark.parametrize("build", [alone, between_convolutions])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_the_same_in_float(network: Any, parity: Any, name: str, batch: int, build: Any) -> None:
    net, model = build(network, CASES[name])
    x = net.samples(batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    assert set(found) == set(wanted)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_in_integers_is_within_one_step(network: Any, steps_apart: Any, name: str) -> None:
    net, model = alone(network, CASES[name])
    assert steps_apart(model, net.samples(3)) <= SEVERAL_ROUNDINGS.get(name, 1.0) + 0.01


@pytest.mark.parametrize("dead", ["everything", "the output", "the input"])
@pytest.mark.parametrize("name", CASES)
def test_an_activation_that_was_always_0_breaks_nothing(network: Any, parity: Any, name: str, dead: str) -> None:
    """Its scale is next to nothing: LiteRT's kernels end the process on such files, or XNNPACK refuses them."""
    net, model = alone(network, CASES[name])
    x = {name: array * (dead != "everything") for name, array in net.samples(2).items()}
    tensors = dict(parity.encode(model, x).tensors)
    killed = {"everything": set(), "the output": {model.graph.output[0].name}, "the input": {"x"}}[dead]
    encodings = Encodings(tensors={n: affine(0.0, 0.0, signed=True) if n in killed else e for n, e in tensors.items()})
    wanted, found = parity.reference(model, x), parity.litert(model, x, encodings)
    for output in wanted:
        assert np.isfinite(found[output]).all()
        if dead == "everything":
            np.testing.assert_allclose(found[output], wanted[output], atol=0.03)
