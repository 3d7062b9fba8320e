"""LiteRT: our metadata brings the float model's layout back, files from elsewhere are taken as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.layout import Metadata, Port
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes.litert import RUNTIME, read_metadata

SettingsOf = Callable[[str], Settings]
Writer = Callable[[Path, Metadata | None], Path]


def test_the_models_layout_is_spoken(write: Writer, settings_of: SettingsOf, tmp_path: Path) -> None:
    turned = Metadata(
        inputs=(Port(Tensor("x", "float32", (12, -1)), (1, 0)),),
        outputs=(Port(Tensor("y", "float32", (10, -1)), (1, 0)),),
    )
    plain, other = write(tmp_path / "a.tflite", None), write(tmp_path / "b.tflite", turned)
    x = np.random.default_rng(0).standard_normal((5, 12)).astype(np.float32)

    as_file = RUNTIME.load(plain, settings_of("litert")).run({"in": x})["out"]
    as_model = RUNTIME.load(other, settings_of("litert")).run({"x": np.ascontiguousarray(x.T)})["y"]

    np.testing.assert_array_equal(as_model, as_file.T)


def test_a_file_from_elsewhere_keeps_its_own_names(write: Writer, settings_of: SettingsOf, tmp_path: Path) -> None:
    session = RUNTIME.load(write(tmp_path / "a.tflite", None), settings_of("litert"))

    assert session.inputs == (Tensor("in", "float32", (-1, 12)),)
    assert session.outputs == (Tensor("out", "float32", (-1, 10)),)
    assert read_metadata(tmp_path / "a.tflite") is None


def test_metadata_of_another_file_is_noticed(write: Writer, settings_of: SettingsOf, tmp_path: Path) -> None:
    file = write(tmp_path / "a.tflite", Metadata(inputs=(), outputs=()))

    with pytest.raises(EdgemlError, match="describes another file"):
        RUNTIME.load(file, settings_of("litert"))


def test_an_axis_of_fixed_size_is_not_resized(write: Writer, settings_of: SettingsOf, tmp_path: Path) -> None:
    session = RUNTIME.load(write(tmp_path / "a.tflite", None), settings_of("litert"))

    with pytest.raises(EdgemlError, match=r"in takes the shape \(-1, 12\)"):
        session.run({"in": np.zeros((2, 11), np.float32)})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_metadata_of_a_damaged_file_is_bytes_or_an_error(write: Writer, tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good.tflite"
    if not good.exists():
        write(good, Metadata(inputs=(), outputs=()))
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "damaged.tflite"
    file.write_bytes(content[: data.draw(st.integers(8, len(content)))])

    try:
        found = read_metadata(file)
    except EdgemlError as error:
        assert error.where == str(file)
    else:
        assert found is None or len(found) <= len(content)


@pytest.fixture
def write(tiny_mlp: Path) -> Writer:
    from ..conftest import weights_of, write_tflite

    weights = weights_of(tiny_mlp)
    return lambda path, metadata: write_tflite(path, weights, metadata)
