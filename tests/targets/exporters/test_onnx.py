"""The ONNX exporter: each form of a tensor runs in the kernels it is meant for, and means what the encodings say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgeml_targets.contract.encodings import Encoding, Encodings, affine, symmetric
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.exporters import find_exporter
from edgeml_targets.exporters import onnx as exporter
from edgeml_targets.models import model_tensors, read_model

from .running import answer, constant, cosine, kernels, plainly

Array = npt.NDArray[Any]
Images = Callable[[int], npt.NDArray[np.float32]]
WEIGHTS = ("conv1.weight", "conv2.weight", "fc.weight")
ACTIVATIONS = ("x", "relu1", "relu2", "pool", "flat")  # conv1 and conv2 are fused with the Relu behind them
EXPORTER = find_exporter(".onnx")


@pytest.fixture(scope="module")
def cnn(tiny_cnn: Path) -> ir.Model:
    return read_model(tiny_cnn)


@pytest.fixture(scope="module")
def seen(tiny_cnn: Path, images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    """Return every activation of `tiny_cnn` over 32 images."""
    names = [*ACTIVATIONS[1:], "logits"]
    proto = onnx.load(tiny_cnn)
    del proto.graph.output[:]
    proto.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    file = tmp_path_factory.mktemp("seen") / "seen.onnx"
    onnx.save(proto, file)
    x = images(32)
    return {"x": x, **answer(file, {"x": x})}


@pytest.fixture(scope="module")
def static(cnn: ir.Model, seen: dict[str, Array]) -> Encodings:
    """Return encodings for everything up to the last layer's input; pooling and flattening share one."""
    activations = {name: affine(seen[name].min(), seen[name].max(), signed=False) for name in ACTIVATIONS}
    return Encodings(tensors={**weights_of(cnn), **activations, "flat": activations["pool"]})


def weights_of(model: ir.Model, names: Iterable[str] = WEIGHTS, bits: int = 7) -> dict[str, Encoding]:
    values = {name: constant(model, name) for name in names}
    return {n: symmetric(np.abs(v).max(axis=tuple(range(1, v.ndim))), axis=0, bits=bits) for n, v in values.items()}


def test_every_layer_runs_in_an_integer_kernel(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    EXPORTER.export(cnn, static, tmp_path / "m.onnx")

    found = kernels(tmp_path / "m.onnx")

    assert [k for k in found if k.startswith("QLinear") or k == "QGemm"] == [
        "QLinearConv",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QGemm",
    ]
    assert not {"Conv", "Relu", "Gemm", "GlobalAveragePool", "DequantizeLinear"} & set(found)


def test_openvino_runs_every_layer_in_integers(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    import openvino

    EXPORTER.export(cnn, static, tmp_path / "m.onnx")
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(tmp_path / "m.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    layers = {
        n.get_rt_info()["originalLayersNames"].astype(str): n.get_rt_info()
        for n in compiled.get_runtime_model().get_ops()
    }
    precision = {
        name: info["runtimePrecision"].astype(str)
        for name, info in layers.items()
        if info["layerType"].astype(str) in ("Convolution", "FullyConnected")
    }

    assert len(precision) == 3
    assert set(precision.values()) <= {"u8", "i8"}


def test_fused_integers_answer_as_the_graph_says(
    cnn: ir.Model, static: Encodings, seen: dict[str, Array], images: Images, tmp_path: Path
) -> None:
    """Fusions round once where the graph says to round twice, which moves an activation by a step at most."""
    EXPORTER.export(cnn, static, tmp_path / "m.onnx")
    x = images(16)

    said = plainly(tmp_path / "m.onnx", {"x": x})

    step = static.tensors["flat"].scale[0] * np.abs(constant(cnn, "fc.weight")).sum(1).max()
    for runtime in ("onnxruntime", "openvino"):
        assert np.abs(answer(tmp_path / "m.onnx", {"x": x}, runtime)["logits"] - said).max() <= step
    assert cosine(said, answer_float(cnn, x, tmp_path)) > 0.99


def answer_float(model: ir.Model, x: Array, folder: Path) -> Array:
    EXPORTER.export(model, Encodings(), folder / "float.onnx")
    return answer(folder / "float.onnx", {"x": x})["logits"]


def test_weights_are_stored_as_the_encodings_say(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    EXPORTER.export(cnn, static, tmp_path / "m.onnx")

    stored = {w.name: numpy_helper.to_array(w) for w in onnx.load(tmp_path / "m.onnx").graph.initializer}

    for name in WEIGHTS:
        np.testing.assert_array_equal(stored[f"{name}_i"], static.tensors[name].quantize(constant(cnn, name)))
        assert stored[f"{name}_i"].dtype == np.int8
        assert name not in stored


def test_a_bias_is_stored_on_the_grid_of_its_products(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    EXPORTER.export(cnn, static, tmp_path / "m.onnx")

    stored = {w.name: numpy_helper.to_array(w) for w in onnx.load(tmp_path / "m.onnx").graph.initializer}

    scale = np.asarray(static.tensors["conv2.weight"].scale) * static.tensors["relu1"].scale[0]
    np.testing.assert_array_equal(stored["conv2.bias_i"], np.rint(constant(cnn, "conv2.bias") / scale))
    assert stored["conv2.bias_i"].dtype == np.int32
    np.testing.assert_allclose(stored["conv2.bias_s"], scale, rtol=1e-6)


def test_a_pruned_channel_still_answers_its_bias(cnn: ir.Model, seen: dict[str, Array], tmp_path: Path) -> None:
    """Its weights are 0, so that their scale is next to nothing and the bias would need more than 32 bits."""
    pruned = cnn.clone()
    weight = constant(cnn, "fc.weight").copy()
    weight[3] = 0
    pruned.graph.initializers["fc.weight"].const_value = ir.tensor(weight, name="fc.weight")
    flat = affine(0, seen["flat"].max(), signed=False)
    tensors = {"flat": flat, "fc.weight": symmetric(np.abs(weight).max(1), axis=0)}

    EXPORTER.export(pruned, Encodings(tensors=tensors), tmp_path / "m.onnx")

    for runtime in ("onnxruntime", "openvino"):
        logits = answer(tmp_path / "m.onnx", {"x": seen["x"]}, runtime)["logits"]
        np.testing.assert_allclose(logits[:, 3], constant(cnn, "fc.bias")[3], rtol=1e-5)


def test_weight_only_is_folded_and_means_rounded_weights(cnn: ir.Model, images: Images, tmp_path: Path) -> None:
    encodings = weights_of(cnn, bits=8)
    rounded = cnn.clone()
    for name, encoding in encodings.items():
        held = encoding.dequantize(encoding.quantize(constant(cnn, name)))
        rounded.graph.initializers[name].const_value = ir.tensor(held, name=name)

    EXPORTER.export(cnn, Encodings(tensors=encodings), tmp_path / "m.onnx")

    found = answer(tmp_path / "m.onnx", {"x": images(8)})["logits"]
    np.testing.assert_allclose(found, answer_float(rounded, images(8), tmp_path), atol=1e-5)
    assert not {"Cast", "Mul", "DequantizeLinear"} & set(kernels(tmp_path / "m.onnx"))


def test_weights_whose_zero_is_not_the_integer_zero(cnn: ir.Model, images: Images, tmp_path: Path) -> None:
    weight = constant(cnn, "fc.weight")
    encoding = affine(float(weight.min()), float(weight.max()) * 3, signed=True)
    assert encoding.zero_point != (0,)
    x = images(8)

    for dynamic in (frozenset[str](), frozenset({"flat"})):
        EXPORTER.export(cnn, Encodings(tensors={"fc.weight": encoding}, dynamic=dynamic), tmp_path / "m.onnx")
        for runtime in ("onnxruntime", "openvino"):
            assert (
                cosine(answer(tmp_path / "m.onnx", {"x": x}, runtime)["logits"], answer_float(cnn, x, tmp_path)) > 0.99
            )


def test_half_precision_halves_the_weights_and_is_folded(cnn: ir.Model, images: Images, tmp_path: Path) -> None:
    EXPORTER.export(cnn, Encodings(float16=frozenset(WEIGHTS)), tmp_path / "m.onnx")

    stored = {w.name: numpy_helper.to_array(w) for w in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert {stored[f"{name}_h"].dtype for name in WEIGHTS} == {np.dtype(np.float16)}
    assert "Cast" not in kernels(tmp_path / "m.onnx")
    found = answer(tmp_path / "m.onnx", {"x": images(8)})["logits"]
    np.testing.assert_allclose(found, answer_float(cnn, images(8), tmp_path), atol=2e-2)


def test_a_weight_that_half_precision_cannot_hold_is_named(cnn: ir.Model, tmp_path: Path) -> None:
    large = cnn.clone()
    large.graph.initializers["fc.weight"].const_value = ir.tensor(constant(cnn, "fc.weight") * 1e6, name="fc.weight")

    with pytest.raises(EdgemlError, match=r"fc\.weight: it holds values above 65,504"):
        EXPORTER.export(large, Encodings(float16=frozenset({"fc.weight"})), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_dynamic_layers_find_their_scale_at_run_time(cnn: ir.Model, images: Images, tmp_path: Path) -> None:
    encodings = Encodings(tensors=weights_of(cnn, bits=8), dynamic=frozenset({"x", "relu1", "flat"}))
    EXPORTER.export(cnn, encodings, tmp_path / "m.onnx")
    x = images(1) * 50  # ten times what a calibration would have seen

    found = kernels(tmp_path / "m.onnx")

    assert found.count("ConvInteger") == 2
    assert "DynamicQuantizeMatMul" in found
    for runtime in ("onnxruntime", "openvino"):
        assert cosine(answer(tmp_path / "m.onnx", {"x": x}, runtime)["logits"], answer_float(cnn, x, tmp_path)) > 0.99


def test_the_model_it_was_given_is_not_changed(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    before = ir.to_proto(cnn).SerializeToString()

    EXPORTER.export(cnn, static, tmp_path / "m.onnx")
    EXPORTER.export(cnn, Encodings(tensors=weights_of(cnn), dynamic=frozenset({"x"})), tmp_path / "m.onnx")

    assert ir.to_proto(cnn).SerializeToString() == before


def test_the_same_gives_the_same_bytes(cnn: ir.Model, static: Encodings, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        EXPORTER.export(cnn, static, tmp_path / name)

    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize(
    "encoding", [affine(-1, 1, signed=True, bits=7), Encoding(scale=(0.1,), zero_point=(0,), narrow=True)]
)
def test_an_activation_that_onnx_would_saturate_elsewhere_is_refused(
    encoding: Encoding, cnn: ir.Model, tmp_path: Path
) -> None:
    with pytest.raises(EdgemlError, match="relu1: activations of"):
        EXPORTER.export(cnn, Encodings(tensors={"relu1": encoding}), tmp_path / "m.onnx")


def test_16_bits_raise_the_opset(cnn: ir.Model, seen: dict[str, Array], images: Images, tmp_path: Path) -> None:
    wide = {name: affine(seen[name].min(), seen[name].max(), signed=True, bits=16) for name in ACTIVATIONS}

    EXPORTER.export(cnn, Encodings(tensors=wide), tmp_path / "m.onnx")

    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 21
    # As the graph stands: ONNX Runtime's fusions would write the weights, which are float here, in 8 bits.
    np.testing.assert_allclose(plainly(tmp_path / "m.onnx", {"x": images(32)}), seen["logits"], atol=1e-2)


def test_from_2_gb_up_the_weights_lie_beside(
    cnn: ir.Model, images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "MOST_ONE_FILE_BYTES", 1000)

    EXPORTER.export(cnn, Encodings(), tmp_path / "m.onnx")

    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    monkeypatch.undo()
    found = answer(tmp_path / "m.onnx", {"x": images(2)})["logits"]
    (tmp_path / "whole").mkdir()
    np.testing.assert_allclose(found, answer_float(cnn, images(2), tmp_path / "whole"), atol=1e-6)


def test_a_folder_that_cannot_be_made_is_said(cnn: ir.Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(EdgemlError, match="cannot be written"):
        EXPORTER.export(cnn, Encodings(), tmp_path / "file" / "m.onnx")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mixture_of_forms_runs_alike_on_both_runtimes(
    cnn: ir.Model, static: Encodings, seen: dict[str, Array], tmp_path: Path, data: st.DataObject
) -> None:
    """Layers may be static, dynamic, weight-only, half or float in any combination."""
    chosen = data.draw(st.sets(st.sampled_from([*WEIGHTS, *ACTIVATIONS, "logits"])))
    everything = {**static.tensors, "logits": affine(seen["logits"].min(), seen["logits"].max(), signed=False)}
    tensors = {name: everything[name] for name in chosen}
    halves = frozenset(data.draw(st.sets(st.sampled_from(WEIGHTS)))) - chosen
    dynamic = frozenset(data.draw(st.sets(st.sampled_from(["x", "relu1", "flat"])))) - chosen
    x = seen["x"][:8]

    EXPORTER.export(cnn, Encodings(tensors=tensors, float16=halves, dynamic=dynamic), tmp_path / "m.onnx")

    first, second = (
        answer(tmp_path / "m.onnx", {"x": x}, runtime)["logits"] for runtime in ("onnxruntime", "openvino")
    )
    assert model_tensors(read_model(tmp_path / "m.onnx")) == model_tensors(cnn)
    assert cosine(first, second) > 0.999
    assert cosine(first, seen["logits"][:8]) > 0.99
