"""Bad models and bad samples: one line that says where, what and how to mend it, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeml.compression import Options, compress_file
from edgeml.project import Budget
from edgeml_targets.contract.errors import EdgemlError

HERE, ELSEWHERE = "x86_64-onnxruntime", "raspberrypi5-onnxruntime"


def refused(model: Path, data: Path, out: Path) -> str:
    """Return the line that compressing ends with."""
    with pytest.raises(EdgemlError) as caught:
        compress_file(model, data, [HERE], out)
    line = str(caught.value)
    assert "\n" not in line and len(line.split(": ", 1)[0]) > 2 and "; " in line
    assert not out.exists() and not list(out.parent.glob(f".{out.name}.*"))
    return line


def spoilt(tiny_cnn: Path, folder: Path, spoil: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(tiny_cnn)
    spoil(model)
    onnx.save(model, folder / "bad.onnx")
    return folder / "bad.onnx"


def not_a_number(model: onnx.ModelProto) -> None:
    for weight in model.graph.initializer:
        if weight.name == "conv2.bias":
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full(16, np.nan, np.float32), weight.name))


def quantized(model: onnx.ModelProto) -> None:
    held = {"s": np.float32(0.1), "z": np.uint8(0)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in held.items())
    model.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]))
    model.graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]))
    model.graph.node[2].input[0] = "xd"


def of_nobody(model: onnx.ModelProto) -> None:
    model.graph.node[1].domain, model.graph.node[1].op_type = "of.nobody", "Lotus"
    model.opset_import.append(onnx.helper.make_opsetid("of.nobody", 1))


def sparse(model: onnx.ModelProto) -> None:
    (weight,) = [w for w in model.graph.initializer if w.name == "fc.bias"]
    values = onnx.helper.make_tensor("fc.bias", onnx.TensorProto.FLOAT, [2], [1.0, 2.0])
    places = onnx.helper.make_tensor("places", onnx.TensorProto.INT64, [2], [0, 3])
    model.graph.initializer.remove(weight)
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [10]))


def quantized_at_run_time(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]))


def in_integer_operators(model: onnx.ModelProto) -> None:
    quantized(model)
    model.graph.node[1].CopyFrom(
        onnx.helper.make_node("QLinearMatMul", ["xq", "s", "z", "xq", "s", "z", "s", "z"], ["xd"])
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (not_a_number, "weight conv2.bias holds a value that is not finite"),
        (quantized, "it is quantized already (QuantizeLinear"),
        (quantized_at_run_time, "it is quantized already (DynamicQuantizeLinear"),
        (in_integer_operators, "it is quantized already (QuantizeLinear"),
        (of_nobody, "Lotus"),
        (sparse, "it holds a sparse constant (fc.bias)"),
    ],
)
def test_a_bad_model_is_named_with_what_is_wrong(
    spoil: Callable[[onnx.ModelProto], None], said: str, tiny_cnn: Path, images: Callable[[int], Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", images(12))
    model = spoilt(tiny_cnn, tmp_path, spoil)
    line = refused(model, tmp_path / "x.npy", tmp_path / "out")
    assert line.startswith(str(model)) and said in line


def test_an_artifact_of_ours_is_refused_as_a_model(
    tiny_cnn: Path, images: Callable[[int], Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", images(12))
    done = compress_file(tiny_cnn, tmp_path / "x.npy", [ELSEWHERE], tmp_path / "first")
    small = [c for c in done.targets[0].candidates if "int8" in c.name]
    assert small
    for candidate in small:
        assert "it is quantized already" in refused(Path(candidate.artifact), tmp_path / "x.npy", tmp_path / "out")


def test_a_litert_file_is_refused_as_a_model(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(64))
    assert "a LiteRT file, not an ONNX file" in refused(tmp_path / "m.tflite", tmp_path / "x.npy", tmp_path / "out")


def test_a_target_that_lacks_an_operator_is_named_with_the_operator(
    tiny_cnn: Path, images: Callable[[int], Any], tmp_path: Path
) -> None:
    def hardmax(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("Hardmax", ["logits"], ["chosen"], "last"))
        model.graph.output[0].name = "chosen"

    np.save(tmp_path / "x.npy", images(12))
    model = spoilt(tiny_cnn, tmp_path, hardmax)
    with pytest.raises(EdgemlError) as caught:
        compress_file(model, tmp_path / "x.npy", ["x86_64-litert"], tmp_path / "out")
    assert str(caught.value).startswith("x86_64-litert: node 'last' (Hardmax): ")
    assert "leave this target out" in str(caught.value) and not (tmp_path / "out").exists()


def test_samples_that_are_all_alike_are_named_by_their_file(tiny_cnn: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros_like(GOOD))
    assert refused(tiny_cnn, tmp_path / "x.npy", tmp_path / "out").startswith(f"{tmp_path / 'x.npy'}: ")


def test_where_only_float_is_close_enough_it_is_kept_and_the_nearest_int8_is_told(tmp_path: Path) -> None:
    """What is left of the difference of two large products is lost in integers as in half precision."""
    rng = np.random.default_rng(0)
    small = rng.standard_normal((20, 20)).astype(np.float32)
    held = {"w": small + 1000, "v": np.full((20, 20), 1000, np.float32)}
    graph = onnx.parser.parse_graph(
        "t (float[b, 20] x) => (float[b, 20] y) { a = MatMul(x, w)\n c = MatMul(x, v)\n y = Sub(a, c) }"
    )
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in held.items())
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    np.save(tmp_path / "x.npy", rng.standard_normal((60, 20)).astype(np.float32))
    (target,) = compress_file(tmp_path / "m.onnx", tmp_path / "x.npy", [ELSEWHERE], tmp_path / "out").targets
    assert target.chosen == "float32" and target.unmet is None
    (note,) = [note for note in target.notes if "float was kept" in note]
    assert note.startswith("The nearest, int8") and "has a worst cosine of" in note and "times smaller" in note


def test_a_latency_budget_that_cannot_be_checked_here_is_said(
    tiny_cnn: Path, images: Callable[[int], Any], tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", images(12))
    options = Options(budget=Budget(latency_ms=0.25))
    done = compress_file(tiny_cnn, tmp_path / "x.npy", [ELSEWHERE], tmp_path / "out", options=options)
    assert "and the latency budget of 0.25 ms was not checked" in done.targets[0].notes[0]


GOOD = np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (GOOD[:, :2], "samples of shape [2, 16, 16] do not fit input x (any, 3, 16, 16)"),
        (GOOD[0], "samples of shape [16, 16] do not fit input x"),
        (GOOD.astype(np.complex64), "samples of complex64 do not fit input x of float32"),
        (GOOD.astype(str), "samples of text do not fit input x of float32"),
        (
            np.where(np.arange(12).reshape(-1, 1, 1, 1) == 7, np.nan, GOOD),
            "sample 7 of x holds a value that is not finite",
        ),
        (np.zeros((0, 3, 16, 16), np.float32), "0 samples, 6 are the least"),
        (np.broadcast_to(GOOD[:1], GOOD.shape), "all samples are the same"),
        (np.zeros_like(GOOD), "all samples are the same"),
    ],
)
def test_bad_samples_are_named_with_what_is_wrong(samples: Any, said: str, tiny_cnn: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", samples)
    assert said in refused(tiny_cnn, tmp_path / "x.npy", tmp_path / "out")


def test_samples_without_values_are_refused(tmp_path: Path) -> None:
    model = onnx.helper.make_model(
        onnx.parser.parse_graph("t (float[b, n] x) => (float[b, n] y) { y = Relu(x) }"),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "free.onnx")
    np.save(tmp_path / "x.npy", np.zeros((12, 0), np.float32))
    assert "there are none" in refused(tmp_path / "free.onnx", tmp_path / "x.npy", tmp_path / "out")
