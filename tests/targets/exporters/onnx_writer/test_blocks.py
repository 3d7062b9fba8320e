"""Weights in blocks: stored small, folded when the runtime loads, and meaning what the encodings say."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgeml_targets.contract.encodings import Encodings, affine, symmetric_blocks
from edgeml_targets.exporters import find_exporter

from ..running import answer, graph_model, kernels

EXPORTER = find_exporter(".onnx")


def product(rows: int, columns: int, seed: int = 0) -> ir.Model:
    """Return a network of one matrix product with random weights."""
    weight = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    return graph_model([node], ["b", rows], ["b", columns], [numpy_helper.from_array(weight, "w")])


def weight_of(model: ir.Model) -> np.ndarray:
    held = model.graph.initializers["w"].const_value
    assert held is not None
    return held.numpy()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 5), columns=st.integers(1, 5), bits=st.integers(2, 8), block=st.sampled_from([8, 16, 32]))
def test_both_runtimes_answer_as_the_dequantized_weights(
    rows: int, columns: int, bits: int, block: int, tmp_path: Path
) -> None:
    model = product(4 * rows, block * columns)
    encoding = symmetric_blocks(weight_of(model), block=block, bits=bits)
    meant = encoding.dequantize(encoding.quantize(weight_of(model)))
    x = np.random.default_rng(1).standard_normal((3, 4 * rows)).astype(np.float32)

    EXPORTER.export(model, Encodings(tensors={"w": encoding}), tmp_path / "m.onnx")

    for runtime in ("onnxruntime", "openvino"):
        np.testing.assert_allclose(answer(tmp_path / "m.onnx", {"x": x}, runtime)["y"], x @ meant, rtol=1e-4, atol=1e-4)
    assert kernels(tmp_path / "m.onnx") == ["MatMul"]  # all else was computed when it was loaded


@pytest.mark.parametrize(("bits", "block"), [(8, 32), (8, 16), (4, 32), (3, 16)])
def test_a_block_takes_its_integers_and_two_bytes(bits: int, block: int, tmp_path: Path) -> None:
    model = product(128, 256)
    encoding = symmetric_blocks(weight_of(model), block=block, bits=bits)

    EXPORTER.export(model, Encodings(tensors={"w": encoding}), tmp_path / "m.onnx")

    values = 128 * 256
    stored = values // (2 if bits <= 4 else 1) + 2 * values // block
    assert stored <= (tmp_path / "m.onnx").stat().st_size <= stored + 700  # the graph itself


def test_scales_that_half_precision_cannot_hold_stand_in_float32(tmp_path: Path) -> None:
    model = product(32, 32)
    model.graph.initializers["w"].const_value = ir.tensor(weight_of(model) * np.float32(1e-9), name="w")
    encoding = symmetric_blocks(weight_of(model), block=32)

    EXPORTER.export(model, Encodings(tensors={"w": encoding}), tmp_path / "m.onnx")

    kinds = {numpy_helper.to_array(w).dtype.name for w in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert kinds == {"int8", "float32", "int64"}
    meant = encoding.dequantize(encoding.quantize(weight_of(model)))
    x = np.ones((1, 32), np.float32)
    np.testing.assert_allclose(answer(tmp_path / "m.onnx", {"x": x})["y"], x @ meant, rtol=1e-4)


def test_weights_in_blocks_are_computed_with_in_float_behind_integers_too(tmp_path: Path) -> None:
    model = product(32, 32)
    encoding = symmetric_blocks(weight_of(model), block=32)
    x = np.random.default_rng(1).random((2, 32)).astype(np.float32)
    static = Encodings(tensors={"w": encoding, "x": affine(0, 1, signed=False), "y": affine(-20, 20, signed=False)})

    for encodings in (static, Encodings(tensors={"w": encoding}, dynamic=frozenset({"x"}))):
        EXPORTER.export(model, encodings, tmp_path / "m.onnx")
        assert "MatMul" in kernels(tmp_path / "m.onnx")
        found = answer(tmp_path / "m.onnx", {"x": x})["y"]
        assert math.dist(found.ravel(), (x @ weight_of(model)).ravel()) < 0.02 * np.linalg.norm(x @ weight_of(model))
