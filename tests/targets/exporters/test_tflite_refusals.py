"""What cannot be written is named, with its node; what looks odd but is legal is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeml_targets.contract.encodings import Encoding, Encodings, affine, symmetric
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters import find_exporter
from edgeml_targets.exporters.tflite import EXPORTER, convert


def write(model: Any, encodings: Encodings = Encodings()) -> Any:
    return convert(ir.from_proto(model), encodings)


def model_of(nodes: list[Any], inputs: dict[str, list[Any]], outputs: list[str], **constants: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def test_the_exporter_is_found_by_its_suffix() -> None:
    assert find_exporter(".tflite") is EXPORTER


def test_an_operator_that_is_not_covered_is_named_with_its_node() -> None:
    model = model_of([helper.make_node("Det", ["x"], ["y"], "bend")], {"x": [1, 3]}, ["y"])
    with pytest.raises(EdgemlError, match=r"node 'bend' \(Det\).*not covered"):
        write(model)


def test_every_operator_that_is_not_covered_is_named_once() -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], "first"),
        helper.make_node("Det", ["a"], ["b"], "second"),
        helper.make_node("FastGelu", ["b"], ["y"], "third", domain="com.microsoft"),
    ]
    with pytest.raises(EdgemlError) as caught:
        write(model_of(nodes, {"x": [1, 3]}, ["y"]))
    assert "'first' (Det)" in str(caught.value)
    assert "'third' (com.microsoft.FastGelu)" in str(caught.value)
    assert "second" not in str(caught.value)


def test_an_operator_nobody_reads_does_not_matter(network: Any, parity: Any) -> None:
    model = model_of(
        [helper.make_node("Det", ["x"], ["unused"]), helper.make_node("Relu", ["x"], ["y"])], {"x": [1, 3]}, ["y"]
    )
    x = {"x": np.array([[-1, 0, 2]], np.float32)}
    np.testing.assert_array_equal(parity.litert(model, x)["y"], [[0, 0, 2]])


@pytest.mark.parametrize(
    ("base", "exponent", "says"),
    [
        (TensorProto.INT32, np.float32(1.5), "exponent is 1.5, and its base whole numbers"),
        (TensorProto.INT32, np.int64(-1), "exponent is -1, and its base whole numbers"),
        (TensorProto.INT32, np.full(3, 1.5, np.float32), "exponents are float32, and its base int32"),
        (TensorProto.INT64, np.int64(3), "its base is int64"),
    ],
)
def test_a_power_that_no_kernel_takes_is_refused_by_its_node(base: Any, exponent: Any, says: str) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=base),
        helper.make_node("Pow", ["i", "p"], ["j"], "n"),
        helper.make_node("Cast", ["j"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(EdgemlError, match=rf"node 'n' \(Pow\).*{says}"):
        write(model_of(nodes, {"x": [1, 3]}, ["y"], p=exponent))


@pytest.mark.parametrize(
    ("node", "says"),
    [
        (helper.make_node("Conv", ["x", "x"], ["y"], "n"), "weight is not constant"),
        (helper.make_node("LRN", ["x"], ["y"], "n", size=2), "even size"),
        (helper.make_node("MaxPool", ["x"], ["y"], "n", kernel_shape=[9, 9]), "does not fit"),
        (helper.make_node("Pad", ["x", "pads"], ["y"], "n", mode="wrap"), "mode 'wrap'"),
        (helper.make_node("Reshape", ["x", "shape"], ["y"], "n"), "cannot be reshaped"),
        (helper.make_node("Resize", ["x", "", "twice"], ["y"], "n", mode="cubic"), "mode 'cubic'"),
        (helper.make_node("Cast", ["x"], ["y"], "n", to=TensorProto.COMPLEX64), "COMPLEX64"),
    ],
)
def test_what_an_operator_cannot_do_is_said_with_its_node(node: Any, says: str) -> None:
    model = model_of([node], {"x": [1, 3, 4, 4]}, ["y"], pads=[0] * 8, shape=[5, -1], twice=np.float32([1, 1, 2, 2]))
    with pytest.raises(EdgemlError, match=rf"node 'n' \({node.op_type}\).*{says}"):
        write(model)


def test_a_weight_that_half_precision_cannot_hold_is_refused_and_not_cut_off() -> None:
    large = np.full((3, 2), 1e5, np.float32)
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"], "fc")], {"x": [1, 3]}, ["y"], w=large)
    with pytest.raises(EdgemlError, match=r"node 'fc' \(MatMul\): w holds values above 65,504"):
        write(model, Encodings(float16=frozenset({"w"})))


def test_nothing_is_left_when_a_model_is_refused(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Det", ["x"], ["y"])], {"x": [1, 3]}, ["y"])
    with pytest.raises(EdgemlError):
        EXPORTER.export(ir.from_proto(model), Encodings(), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_the_model_is_not_changed(network: Any) -> None:
    net = network({"x": ("batch", 3, 8, 8)})
    model = net.finish(net.add("Relu", net.conv("x", (4, 3, 3, 3))))
    graph = ir.from_proto(model)
    before = ir.to_proto(graph).SerializeToString()
    convert(graph, Encodings(float16=frozenset({"k0"})))
    assert ir.to_proto(graph).SerializeToString() == before


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        (Encoding(scale=(0.1,), zero_point=(0,), bits=16), "16 bits"),
        (Encoding(scale=(0.1, 0.2, 0.3), zero_point=(0, 0, 0), axis=1), "scale a channel"),
    ],
)
def test_an_activation_that_litert_cannot_hold_is_named(network: Any, encoding: Encoding, says: str) -> None:
    net = network({"x": ("batch", 3, 8, 8)})
    model = net.finish(net.conv("x", (4, 3, 3, 3)))
    with pytest.raises(EdgemlError, match=f"activation 'x'.*{says}"):
        write(model, Encodings(tensors={"x": encoding, "k0": symmetric(1.0), "conv_0": affine(-1, 1, signed=True)}))


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        (symmetric(np.ones(3), axis=1), "axis 1"),
        (symmetric(np.ones(3), axis=0), "3 scales and 4"),
        (Encoding(scale=(0.1,), zero_point=(3,)), "zero point"),
        (Encoding(scale=(0.1,), zero_point=(0,), bits=16), "16 bits"),
    ],
)
def test_a_weight_that_litert_cannot_hold_is_named(network: Any, encoding: Encoding, says: str) -> None:
    net = network({"x": ("batch", 3, 8, 8)})
    model = net.finish(net.conv("x", (4, 3, 3, 3)))
    with pytest.raises(EdgemlError, match=f"weight 'k0'.*{says}"):
        write(model, Encodings(tensors={"k0": encoding}))


def test_unsigned_encodings_mean_the_same(network: Any, parity: Any) -> None:
    net = network({"x": ("batch", 3, 8, 8)})
    model = net.finish(net.conv("x", (4, 3, 3, 3)))
    x = net.samples()
    signed = parity.encode(model, x)

    def unsigned(name: str, encoding: Encoding) -> Encoding:
        zero_points = tuple(zero + 128 for zero in encoding.zero_point)
        return Encoding(scale=encoding.scale, zero_point=zero_points, signed=False, axis=encoding.axis)

    other = Encodings(tensors={n: unsigned(n, e) for n, e in signed.tensors.items()})
    np.testing.assert_array_equal(parity.litert(model, x, other)["conv_0"], parity.litert(model, x, signed)["conv_0"])


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_weights_of_fewer_bits_are_stored_in_8(network: Any, parity: Any, faked: Any, bits: int) -> None:
    net = network({"x": ("batch", 3, 8, 8)})
    model = net.finish(net.conv("x", (4, 3, 3, 3)))
    limit = np.abs(net.constants["k0"]).max(axis=(1, 2, 3))
    encodings = Encodings(tensors={"k0": symmetric(limit, bits=bits, axis=0)})
    x = net.samples()
    wanted = parity.reference(faked(model, encodings), x)["conv_0"]
    np.testing.assert_allclose(parity.litert(model, x, encodings)["conv_0"], wanted, atol=1e-5)


def test_a_dead_channel_keeps_its_bias(network: Any, parity: Any) -> None:
    """A channel without weights has next to no scale; its bias in steps of it would not fit into 32 bits."""
    net = network({"x": ("batch", 3, 8, 8)})
    weight = net.rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    weight[2] = 0
    y = net.add("Conv", "x", net.constant(weight), net.constant(np.array([0.5, -0.5, 3.0, 0.1], np.float32)))
    model = net.finish(y)
    x = net.samples()
    encodings = parity.encode(model, x)
    found = parity.litert(model, x, encodings)[y]
    np.testing.assert_allclose(found[:, 2], 3.0, atol=encodings.tensors[y].scale[0])


HOSTILE = ["", " ", "x/y:0", "a\nb", "\x00", "ключ🔑", "serving_default", "'; DROP TABLE", "%s{}", "a" * 5000]


@pytest.mark.parametrize("name", HOSTILE[1:])
def test_any_name_is_carried(parity: Any, name: str) -> None:
    nodes = [
        helper.make_node("Relu", [name], [f"{name}1"], name),
        helper.make_node("Mul", [f"{name}1", f"{name}2"], [f"{name}3"], name),
    ]
    model = model_of(nodes, {name: [1, 2]}, [f"{name}3"], **{f"{name}2": np.float32(2)})
    found = parity.litert(model, {name: np.array([[-1, 1]], np.float32)})
    np.testing.assert_array_equal(found[f"{name}3"], [[0, 2]])


@pytest.mark.parametrize("name", HOSTILE)
def test_a_refusal_stays_on_one_line(name: str) -> None:
    model = model_of([helper.make_node("Det", ["x"], ["y"], name)], {"x": [1]}, ["y"])
    with pytest.raises(EdgemlError) as caught:
        write(model)
    assert len(str(caught.value).splitlines()) == 1


def test_outputs_that_are_inputs_constants_or_each_other(parity: Any) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node("Relu", ["x"], ["bent"]),
        helper.make_node("Identity", ["bent"], ["again"]),
        helper.make_node("Identity", ["k"], ["fixed"]),
    ]
    model = model_of(nodes, {"x": ["batch", 2]}, ["same", "bent", "again", "fixed"], k=np.array([1, 2], np.float32))
    x = np.array([[-1, 3], [5, -7]], np.float32)
    found = parity.litert(model, {"x": x})
    np.testing.assert_array_equal(found["same"], x)
    np.testing.assert_array_equal(found["bent"], np.maximum(x, 0))
    np.testing.assert_array_equal(found["again"], np.maximum(x, 0))
    np.testing.assert_array_equal(found["fixed"], [1, 2])


def test_several_inputs_one_of_them_unused(parity: Any) -> None:
    nodes = [helper.make_node("Add", ["a", "c"], ["y"])]
    model = model_of(nodes, {"a": ["batch", 2], "b": [3], "c": [1, 2]}, ["y"])
    x = {"a": np.ones((3, 2), np.float32), "b": np.ones(3, np.float32), "c": np.full((1, 2), 2, np.float32)}
    np.testing.assert_array_equal(parity.litert(model, x)["y"], np.full((3, 2), 3))


def test_a_shared_weight_is_stored_once(network: Any) -> None:
    net = network({"x": ("batch", 8, 8, 8)})
    shared = net.weight(8, 8, 3, 3)
    y = net.add("Conv", net.add("Conv", "x", shared, pads=[1] * 4), shared, pads=[1] * 4)
    assert len(write(net.finish(y)).content) < 1.9 * 8 * 8 * 9 * 4


def test_a_batch_that_the_model_fixes_stays_fixed(parity: Any, network: Any) -> None:
    net = network({"x": (2, 3, 8, 8)})
    model = net.finish(net.conv("x", (4, 3, 3, 3)))
    with pytest.raises(EdgemlError):
        parity.litert(model, {"x": np.zeros((3, 3, 8, 8), np.float32)})


def test_a_reshape_that_was_written_for_a_batch_of_1_takes_any(parity: Any) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    model = model_of(nodes, {"x": ["batch", 2, 3]}, ["y"], shape=np.array([1, 6]))
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.testing.assert_array_equal(parity.litert(model, {"x": x})["y"], x.reshape(2, 6))
