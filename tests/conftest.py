"""What tests of every room share: small real models, written once a run (random weights, fixed seed), and a browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import numpy.typing as npt
import pytest

if TYPE_CHECKING:
    import onnx

# Beside another worker, or the agents of a scenario, two threads of one training wait for each other more than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The gate tries the same examples each time; elsewhere each run tries others.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
).split()
Weights = Mapping[str, npt.NDArray[Any]]


@pytest.fixture(scope="session")
def tiny_cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small convolutional network as ONNX: `x` [batch, 3, 16, 16] to `logits` [batch, 10].

    Conv `conv1` (3 to 8, 3x3, pad 1), Relu, Conv `conv2` (8 to 16, 3x3, stride 2), Relu, GlobalAveragePool, Flatten, Gemm `fc`.
    """
    from onnx import helper

    weights = {
        "conv1.weight": _normal((8, 3, 3, 3), fan_in=27, seed=1),
        "conv1.bias": _normal((8,), fan_in=100, seed=2),
        "conv2.weight": _normal((16, 8, 3, 3), fan_in=72, seed=3),
        "conv2.bias": _normal((16,), fan_in=100, seed=4),
        "fc.weight": _normal((10, 16), fan_in=16, seed=5),
        "fc.bias": _normal((10,), fan_in=100, seed=6),
    }
    kernel = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "conv1.weight", "conv1.bias"], ["conv1"], "conv1", **kernel),
        helper.make_node("Relu", ["conv1"], ["relu1"], "relu1"),
        helper.make_node("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], "conv2", **kernel, strides=[2, 2]),
        helper.make_node("Relu", ["conv2"], ["relu2"], "relu2"),
        helper.make_node("GlobalAveragePool", ["relu2"], ["pool"], "pool"),
        helper.make_node("Flatten", ["pool"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
    ]
    path = tmp_path_factory.mktemp("models") / "tiny_cnn.onnx"
    return _write(path, nodes, weights, ["batch", 3, 16, 16])


@pytest.fixture(scope="session")
def tiny_mlp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small dense network as ONNX: `x` [batch, 12] through Gemm, Relu, Gemm to `logits` [batch, 10]."""
    from onnx import helper

    weights = {
        "fc1.weight": _normal((32, 12), fan_in=12, seed=1),
        "fc1.bias": _normal((32,), fan_in=100, seed=2),
        "fc2.weight": _normal((10, 32), fan_in=32, seed=3),
        "fc2.bias": _normal((10,), fan_in=100, seed=4),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["fc1"], "fc1", transB=1),
        helper.make_node("Relu", ["fc1"], ["relu"], "relu"),
        helper.make_node("Gemm", ["relu", "fc2.weight", "fc2.bias"], ["logits"], "fc2", transB=1),
    ]
    return _write(tmp_path_factory.mktemp("models") / "tiny_mlp.onnx", nodes, weights, ["batch", 12])


@pytest.fixture(scope="session")
def images() -> Callable[[int], npt.NDArray[np.float32]]:
    """Return a function that makes `count` inputs for `tiny_cnn`, each with channel means of its own, so that answers differ."""

    def make(count: int) -> npt.NDArray[np.float32]:
        rng = np.random.default_rng(count)
        noise = rng.standard_normal((count, 3, 16, 16)) + 2 * rng.standard_normal((count, 3, 1, 1))
        return noise.astype(np.float32)

    return make


def _normal(shape: tuple[int, ...], *, fan_in: int, seed: int) -> npt.NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(shape) * (2 / fan_in) ** 0.5).astype(np.float32)


def _write(path: Path, nodes: Sequence[onnx.NodeProto], weights: Weights, shape: Sequence[int | str]) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Yield Debian's Chromium, driven by Playwright; one a session, since a second one beside it cannot be started."""
    if not CHROMIUM.exists():
        skip_aloud(f"{CHROMIUM} is missing: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS)
        yield found
        found.close()


def skip_aloud(reason: str) -> None:
    """Skip a test that this machine cannot run; in CI that is a failure, for there everything is installed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
