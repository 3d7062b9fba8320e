"""One list of checks over all runtimes: a new one is held to it without a line here."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Session, find_runtime, installed, runtime_names

SettingsOf = Callable[[str], Settings]
RUNS_HERE = [name for name in runtime_names() if name != "tensorrt"]


@pytest.fixture(params=RUNS_HERE)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def session(runtime: str, tiny_artifacts: dict[str, Path], settings_of: SettingsOf) -> Session:
    return find_runtime(runtime).load(tiny_artifacts[runtime], settings_of(runtime))


def rows(count: int) -> npt.NDArray[Any]:
    return np.random.default_rng(count).standard_normal((count, 12)).astype(np.float32)


def expected(model: Path, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Compute the two layers in numpy."""
    import onnx
    from onnx import numpy_helper

    w = {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(model).graph.initializer}
    hidden = np.maximum(x @ w["fc1.weight"].T + w["fc1.bias"], 0)
    return np.asarray(hidden @ w["fc2.weight"].T + w["fc2.bias"])


def test_it_is_installed_and_tells_its_version(runtime: str) -> None:
    assert installed(runtime)
    assert find_runtime(runtime).version()[0].isdigit()


def test_a_session_speaks_the_float_models_names_and_shapes(session: Session) -> None:
    assert [(t.name, t.dtype, t.shape) for t in session.inputs] == [("x", "float32", (-1, 12))]
    assert [(t.name, t.dtype, t.shape) for t in session.outputs] == [("logits", "float32", (-1, 10))]


def test_it_answers_as_the_definition_does_whatever_the_batch(session: Session, tiny_mlp: Path) -> None:
    for count in (1, 5, 2, 5):
        x = rows(count)
        np.testing.assert_allclose(session.run({"x": x})["logits"], expected(tiny_mlp, x), atol=1e-5)


def test_an_answer_stays_when_the_next_one_comes(session: Session) -> None:
    first = session.run({"x": rows(1)})["logits"]
    kept = first.copy()
    session.run({"x": rows(1) + 1})

    np.testing.assert_array_equal(first, kept)


def test_any_order_in_memory_is_taken(session: Session) -> None:
    x = rows(4)
    read_only = x.copy()
    read_only.flags.writeable = False

    for given in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], read_only):
        np.testing.assert_array_equal(session.run({"x": given})["logits"], session.run({"x": x})["logits"])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"y": np.zeros((1, 12), np.float32)},
        {"x": np.zeros((1, 13), np.float32)},
        {"x": np.zeros(12, np.float32)},
        {"x": np.zeros((1, 12), np.float64)},
    ],
    ids=["nothing", "another name", "another shape", "another rank", "another type"],
)
def test_a_wrong_input_is_refused_in_one_line(
    session: Session, wrong: dict[str, npt.NDArray[Any]], runtime: str, tiny_artifacts: dict[str, Path], tiny_mlp: Path
) -> None:
    with pytest.raises(EdgemlError) as caught:
        session.run(wrong)

    assert caught.value.where == str(tiny_artifacts[runtime])
    assert "\n" not in str(caught.value)
    np.testing.assert_allclose(session.run({"x": rows(2)})["logits"], expected(tiny_mlp, rows(2)), atol=1e-5)


@pytest.mark.parametrize("kind", ["missing", "empty", "folder", "page", "noise", "half"])
def test_a_bad_file_is_refused_in_one_line_that_names_it(
    kind: str,
    runtime: str,
    tiny_artifacts: dict[str, Path],
    settings_of: SettingsOf,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / f"given{find_runtime(runtime).suffix}"
    good = tiny_artifacts[runtime].read_bytes()
    contents = {"empty": b"", "page": b"<html></html>", "noise": os.urandom(3000), "half": good[: len(good) // 2]}
    if kind == "folder":
        file.mkdir()
    elif kind in contents:
        file.write_bytes(contents[kind])

    with pytest.raises(EdgemlError) as caught:
        find_runtime(runtime).load(file, settings_of(runtime))

    assert caught.value.where == str(file)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", ""), "the library talks beside the error"


def test_an_unknown_device_is_not_replaced_silently(
    runtime: str, tiny_artifacts: dict[str, Path], settings_of: SettingsOf
) -> None:
    settings = msgspec.structs.replace(settings_of(runtime), device="npu:3")

    with pytest.raises(EdgemlError, match="npu:3") as caught:
        find_runtime(runtime).load(tiny_artifacts[runtime], settings)

    assert caught.value.where == settings.target


@pytest.mark.parametrize("name", sorted(set(RUNS_HERE) - {"openvino"}))
def test_a_precision_it_lacks_is_not_replaced_silently(
    name: str, tiny_artifacts: dict[str, Path], settings_of: SettingsOf
) -> None:
    settings = msgspec.structs.replace(settings_of(name), precision="bfloat16")

    with pytest.raises(EdgemlError, match="bfloat16"):
        find_runtime(name).load(tiny_artifacts[name], settings)


def test_no_library_is_imported_before_it_is_needed() -> None:
    import subprocess
    import sys

    libraries = "{'onnxruntime', 'openvino', 'torch', 'ai_edge_litert', 'tflite_runtime', 'tensorrt', 'onnx'}"
    code = f"import sys; from edgeml_targets.runtimes import *; [find_runtime(n) for n in runtime_names()]; print({libraries} & set(sys.modules))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
