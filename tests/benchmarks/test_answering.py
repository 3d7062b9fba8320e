"""Answers: in the samples' order, whatever is stacked, and never another value for being stacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeml_bench import answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

ONNXRUNTIME = Settings(target="x86_64-onnxruntime", runtime="onnxruntime")
Images = Callable[[int], npt.NDArray[np.float32]]


def write(
    path: Path, nodes: list[onnx.NodeProto], ports: list[list[tuple[str, list[object]]]], weights: object = ()
) -> Path:
    values = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in side] for side in ports]
    graph = helper.make_graph(nodes, path.stem, values[0], values[1], list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def one_by_one(artifact: Path, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(artifact), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": s[None]})[0] for s in samples])


@pytest.mark.parametrize("count", [1, 3, 64, 150])
def test_answers_are_those_of_the_runtime_in_the_samples_order(tiny_cnn: Path, images: Images, count: int) -> None:
    samples = images(count)
    found = answers(tiny_cnn, ONNXRUNTIME, {"x": samples})
    assert set(found) == {"logits"}
    np.testing.assert_allclose(found["logits"], one_by_one(tiny_cnn, samples), atol=1e-5)


def test_samples_with_a_batch_axis_of_their_own_are_fed_as_they_are(tiny_cnn: Path, images: Images) -> None:
    samples = images(6).reshape(3, 2, 3, 16, 16)
    found = answers(tiny_cnn, ONNXRUNTIME, {"x": samples})["logits"]
    assert found.shape == (3, 2, 10)
    np.testing.assert_allclose(found.reshape(6, 10), one_by_one(tiny_cnn, images(6)), atol=1e-5)


def test_a_scale_that_is_found_at_run_time_is_each_samples_own(tmp_path: Path) -> None:
    """Dynamic quantization of a stack takes one scale for all: a quiet sample would drown beside a loud one."""
    weight = numpy_helper.from_array(np.eye(4, dtype=np.int8), "w")
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["y"]),
    ]
    model = write(tmp_path / "dynamic.onnx", nodes, [[("x", ["batch", 4])], [("y", ["batch", 4])]], [weight])
    samples = np.array([[0.001, 0.002, 0.003, 0.004], [100, 200, 300, 400]], np.float32)
    found = answers(model, ONNXRUNTIME, {"x": samples})["y"]
    np.testing.assert_allclose(found, samples, rtol=0.01)


def test_a_first_axis_that_is_no_batch_is_not_stacked(tmp_path: Path) -> None:
    """The mean over all axes: of a stack it would be one value for all samples."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], keepdims=1)]
    model = write(tmp_path / "mean.onnx", nodes, [[("x", ["time", 2])], [("y", ["one", 1])]])
    samples = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_allclose(answers(model, ONNXRUNTIME, {"x": samples})["y"], samples.mean(1, keepdims=True))


def test_a_model_without_a_batch_axis_and_a_scalar_are_fed_one_at_a_time(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "factor"], ["y"])]
    model = write(tmp_path / "scaled.onnx", nodes, [[("x", [3]), ("factor", [])], [("y", [3])]])
    x, factor = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([2, 3], np.float32)
    found = answers(model, ONNXRUNTIME, {"x": x, "factor": factor})["y"]
    np.testing.assert_array_equal(found, x * factor[:, None])


def test_a_fixed_batch_of_1_answers_one_row_a_sample(tmp_path: Path) -> None:
    model = write(tmp_path / "fixed.onnx", [helper.make_node("Relu", ["x"], ["y"])], [[("x", [1, 2])], [("y", [1, 2])]])
    samples = np.array([[-1, 1], [2, -2], [3, 3]], np.float32)
    np.testing.assert_array_equal(answers(model, ONNXRUNTIME, {"x": samples})["y"], np.maximum(samples, 0))


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({}, "no samples for input x"),
        ({"y": np.zeros((2, 3, 16, 16))}, "no samples for input x, there are y"),
        ({"x": np.zeros((0, 3, 16, 16))}, "0 samples"),
        ({"x": np.zeros((8, 5, 7))}, r"shape \[5, 7\] does not fit"),
        ({"x": np.float32(1)}, "0 samples"),
    ],
)
def test_samples_that_do_not_fit_are_refused(tiny_cnn: Path, samples: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(EdgemlError, match=said):
        answers(tiny_cnn, ONNXRUNTIME, samples)


def test_text_passes_through(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Identity", ["s"], ["t"])]
    model = write(tmp_path / "text.onnx", nodes, [[("x", ["b", 2]), ("s", ["b"])], [("y", ["b", 2]), ("t", ["b"])]])
    read = onnx.load(model)
    for port in (read.graph.input[1], read.graph.output[1]):
        port.type.tensor_type.elem_type = TensorProto.STRING
    onnx.save(read, model)
    x, text = np.arange(10, dtype=np.float32).reshape(5, 2), np.array(["a", "b", "c", "d", "e"])
    found = answers(model, ONNXRUNTIME, {"x": x, "s": text})
    np.testing.assert_array_equal(found["y"], x)
    assert found["t"].ravel().tolist() == text.tolist()


FOUND = [helper.make_node("NonZero", ["x"], ["at"])]
SPARSE = np.float32([[1, 0, 0], [1, 1, 0], [0, 0, 1]])


def test_an_output_whose_shape_depends_on_the_data_is_left_out(tmp_path: Path) -> None:
    nodes = [*FOUND, helper.make_node("Cast", ["at"], ["z"], to=1), helper.make_node("Relu", ["x"], ["y"])]
    model = write(tmp_path / "found.onnx", nodes, [[("x", ["b", 3])], [("z", [2, "k"]), ("y", ["b", 3])]])
    found = answers(model, ONNXRUNTIME, {"x": SPARSE})
    assert list(found) == ["y"]
    np.testing.assert_array_equal(found["y"].reshape(3, 3), SPARSE)


def test_a_row_whose_length_depends_on_the_data_is_left_out(tmp_path: Path) -> None:
    """Its first axis counts samples as a batch does, and the first 64 stacked answer as they do alone."""
    nodes = [helper.make_node("ReduceMax", ["x"], ["most"], axes=[0], keepdims=0)]
    nodes += [helper.make_node("Compress", ["x", "kept"], ["z"], axis=1), helper.make_node("Relu", ["x"], ["y"])]
    nodes.insert(1, helper.make_node("Cast", ["most"], ["kept"], to=TensorProto.BOOL))
    model = write(tmp_path / "rows.onnx", nodes, [[("x", ["b", 3])], [("z", ["b", "k"]), ("y", ["b", 3])]])
    assert list(answers(model, ONNXRUNTIME, {"x": np.float32([[1, 0, 0]] * 64 + [[1, 1, 0]])})) == ["y"]
    assert list(answers(model, ONNXRUNTIME, {"x": SPARSE})) == ["y"]


def test_a_model_of_which_nothing_can_be_compared_is_refused_in_a_line(tmp_path: Path) -> None:
    nodes = [*FOUND, helper.make_node("Cast", ["at"], ["z"], to=1)]
    model = write(tmp_path / "found.onnx", nodes, [[("x", ["b", 3])], [("z", [2, "k"])]])
    with pytest.raises(EdgemlError, match=r"found\.onnx: the shape of z depends on the data, so .*; export it with"):
        answers(model, ONNXRUNTIME, {"x": SPARSE})
