"""Whole networks of the zoo's kinds: the same answers, small files, integer kernels, few transpositions, any batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.exporters.tflite import convert

Build = Callable[[Any], tuple[Any, Any]]


def resnet(network: Any, *, width: int = 16, size: int = 32) -> tuple[Any, Any]:
    """A ResNet-8: three residual blocks, two of stride 2 whose branches are joined from different ranges."""
    net = network({"x": ("batch", 3, size, size)})

    def block(x: str, inputs: int, outputs: int, stride: int) -> str:
        y = net.add("Relu", net.conv(x, (outputs, inputs, 3, 3), pads=[1] * 4, strides=[stride] * 2))
        y = net.conv(y, (outputs, outputs, 3, 3), pads=[1] * 4)
        if stride != 1:
            x = net.conv(x, (outputs, inputs, 1, 1), strides=[stride] * 2)
        return str(net.add("Relu", net.add("Add", y, x)))

    y = net.add("Relu", net.conv("x", (width, 3, 3, 3), pads=[1] * 4))
    y = block(block(block(y, width, width, 1), width, 2 * width, 2), 2 * width, 4 * width, 2)
    y = net.add("Flatten", net.add("GlobalAveragePool", y))
    return net, net.finish(net.add("Gemm", y, net.weight(10, 4 * width), net.bias(10), transB=1))


def wide_resnet(network: Any) -> tuple[Any, Any]:
    return resnet(network, width=40)


def dscnn(network: Any) -> tuple[Any, Any]:
    """A keyword spotter: depthwise and pointwise convolutions over a spectrogram, then a Softmax."""
    net = network({"x": ("batch", 1, 49, 10)})
    y = net.add("Relu", net.conv("x", (32, 1, 10, 4), pads=[4, 1, 5, 2], strides=[2, 2]))
    for _ in range(3):
        y = net.add("Relu", net.conv(y, (32, 1, 3, 3), pads=[1] * 4, group=32))
        y = net.add("Relu", net.conv(y, (32, 32, 1, 1)))
    y = net.add("Reshape", net.add("ReduceMean", y, axes=[2, 3]), net.constant(np.array([-1, 32])))
    return net, net.finish(net.add("Softmax", net.add("Gemm", y, net.weight(12, 32), net.bias(12), transB=1), axis=-1))


def conv1d(network: Any) -> tuple[Any, Any]:
    """A network over signals, whose last tensor is flattened before the dense layer."""
    net = network({"x": ("batch", 12, 32)})
    y = net.add("Relu", net.conv("x", (16, 12, 5), pads=[2, 2]))
    y = net.add("MaxPool", y, kernel_shape=[2], strides=[2])
    y = net.add("Relu", net.conv(y, (24, 16, 3), pads=[1, 1], strides=[2]))
    return net, net.finish(net.add("Gemm", net.add("Flatten", y), net.weight(24 * 8, 9), net.bias(9)))


def pooled_signal(network: Any) -> tuple[Any, Any]:
    """A network over signals whose last tensor is averaged as torch exports it: Unsqueeze, ReduceMean, Squeeze, Reshape."""
    net = network({"x": ("batch", 12, 30)})
    y = net.add("Relu", net.conv("x", (16, 12, 8), pads=[4, 4]))
    y = net.add("Relu", net.conv(y, (24, 16, 5), pads=[2, 2]))
    y = net.add("ReduceMean", net.add("Unsqueeze", y, net.constant(np.array([-2]))), axes=[-1, -2])
    y = net.add("Reshape", net.add("Squeeze", y, net.constant(np.array([-2]))), net.constant(np.array([-1, 24])))
    return net, net.finish(net.add("Gemm", y, net.weight(9, 24), net.bias(9), transB=1))


def mlp(network: Any) -> tuple[Any, Any]:
    net = network({"x": ("batch", 30)})
    y = "x"
    for inputs, outputs in ((30, 64), (64, 32)):
        product = net.add(
            "MatMul", y, net.constant((net.rng.standard_normal((inputs, outputs)) / 6).astype(np.float32))
        )
        y = net.add("Relu", net.add("Add", product, net.bias(outputs)))
    return net, net.finish(net.add("Gemm", y, net.weight(3, 32), net.bias(3), transB=1))


NETWORKS: Final[Mapping[str, Build]] = {
    "resnet": resnet,
    "wide resnet": wide_resnet,
    "dscnn": dscnn,
    "conv1d": conv1d,
    "pooled signal": pooled_signal,
    "mlp": mlp,
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def weights_of(model: Any, encodings: Encodings) -> set[str]:
    return {c.name for c in model.graph.initializer if c.name in encodings.tensors}


def written(model: Any, encodings: Encodings) -> Any:
    return convert(ir.from_proto(model), encodings)


def elements(model: Any, names: set[str]) -> int:
    return sum(int(np.prod(c.dims)) for c in model.graph.initializer if c.name in names)


def bytes_saved(model: Any, encodings: Encodings) -> int:
    return len(written(model, Encodings()).content) - len(written(model, encodings).content)


def cosine(found: Any, wanted: Any) -> float:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return float(((found * wanted).sum(1) / lengths).min())


@every_network
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_in_float_it_answers_as_onnx_runtime(network: Any, parity: Any, name: str, batch: int) -> None:
    net, model = NETWORKS[name](network)
    x = net.samples(batch)
    wanted, found = parity.reference(model, x), parity.litert(model, x)
    for output in wanted:
        np.testing.assert_allclose(found[output], wanted[output], atol=1e-5, rtol=1e-4)


@every_network
def test_in_integers_it_answers_as_the_fake_quantized_model(network: Any, parity: Any, faked: Any, name: str) -> None:
    """A rounding that falls the other way in one layer moves the next ones: nearly all answers are within one step."""
    net, model = NETWORKS[name](network)
    x = net.samples(40)
    encodings = parity.encode(model, x)
    wanted, found = parity.reference(faked(model, encodings), x), parity.litert(model, x, encodings)
    for output in wanted:
        steps = np.abs(found[output] - wanted[output]) / encodings.tensors[output].scale[0]
        assert (steps <= 1.01).mean() >= 0.98
        assert steps.max() <= 3.01


@every_network
def test_in_integers_nothing_is_converted_but_the_ends(network: Any, parity: Any, name: str) -> None:
    net, model = NETWORKS[name](network)
    operators = written(model, parity.encode(model, net.samples())).operators
    assert operators["QUANTIZE"] == operators["DEQUANTIZE"] == 1


@every_network
def test_no_network_of_the_zoo_needs_a_transposition(network: Any, parity: Any, name: str) -> None:
    net, model = NETWORKS[name](network)
    assert written(model, Encodings()).transposes == 0
    assert written(model, parity.encode(model, net.samples())).transposes == 0


def test_a_network_of_500_kb_gets_3_3_times_smaller(network: Any, parity: Any) -> None:
    net, model = wide_resnet(network)
    whole, small = written(model, Encodings()), written(model, parity.encode(model, net.samples()))
    assert len(whole.content) > 500_000
    assert len(whole.content) / len(small.content) >= 3.3


def test_integers_run_in_integer_kernels(network: Any, parity: Any) -> None:
    """Measured, since a file cannot tell which kernel runs: on this network int8 took a seventh of float's time."""
    net, model = wide_resnet(network)
    files = [bytes(written(model, e).content) for e in (Encodings(), parity.encode(model, net.samples()))]
    slow, fast = (fastest_run_s(content) for content in files)
    assert fast < 0.8 * slow


def fastest_run_s(content: bytes) -> float:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    times = []
    for _ in range(40):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    return min(times)


@every_network
def test_weights_alone_as_integers(network: Any, parity: Any, name: str) -> None:
    net, model = NETWORKS[name](network)
    x = net.samples(20)
    made = parity.encode(model, x)
    encodings = Encodings(tensors={n: e for n, e in made.tensors.items() if n in weights_of(model, made)})
    for output, wanted in parity.reference(model, x).items():
        assert cosine(parity.litert(model, x, encodings)[output], wanted) > 0.998
    assert bytes_saved(model, encodings) > 2 * elements(model, weights_of(model, made))  # 3, less scales and operators


@every_network
def test_scales_found_at_each_inference(network: Any, parity: Any, name: str) -> None:
    net, model = NETWORKS[name](network)
    x = net.samples(20)
    made = parity.encode(model, x)
    weights = weights_of(model, made)
    inputs = {node.input[0] for node in model.graph.node if len(node.input) > 1 and node.input[1] in weights}
    encodings = Encodings(tensors={n: made.tensors[n] for n in weights}, dynamic=frozenset(inputs))
    file = written(model, encodings)
    assert "DEQUANTIZE" not in file.operators  # the kernels read integer weights
    for output, wanted in parity.reference(model, x).items():
        assert cosine(parity.litert(model, x, encodings)[output], wanted) > 0.995


@every_network
def test_weights_in_half_precision(network: Any, parity: Any, name: str) -> None:
    net, model = NETWORKS[name](network)
    x = net.samples(20)
    weights = {c.name for c in model.graph.initializer if len(c.dims) > 1}
    encodings = Encodings(float16=frozenset(weights))
    for output, wanted in parity.reference(model, x).items():
        assert cosine(parity.litert(model, x, encodings)[output], wanted) > 0.9999
    assert bytes_saved(model, encodings) > 1.5 * elements(model, weights)  # 2, less operators


def test_a_resnet_is_written_in_a_tenth_of_a_second(network: Any, parity: Any) -> None:
    net, model = resnet(network)
    encodings, graph = parity.encode(model, net.samples()), ir.from_proto(model)
    convert(graph, encodings)  # imports
    times = []
    for _ in range(5):
        start = time.perf_counter()
        convert(graph, encodings)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_the_same_model_gives_the_same_bytes(network: Any, parity: Any) -> None:
    net, model = dscnn(network)
    encodings = parity.encode(model, net.samples())
    assert written(model, encodings).content == written(model, encodings).content
