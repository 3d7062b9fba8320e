"""Sizes and values that a format must know are fixed from the samples, and only where it must know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import exporting
from edgeml_compress.exporting import write
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError, NotWritten
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import find_runtime
from edgeml_targets.target import find_target

TARGET = find_target("x86_64-litert")
LENGTH, BATCH, FEATURES, UNITS = 7, 1, 3, 4
RNG = np.random.default_rng(0)
WEIGHTS = {
    "w": RNG.standard_normal((1, 3 * UNITS, FEATURES)).astype(np.float32),
    "r": RNG.standard_normal((1, 3 * UNITS, UNITS)).astype(np.float32),
    "slow": np.array(8_000),
    "one": np.float32(1),
}
SERIES = RNG.standard_normal((5, LENGTH, BATCH, FEATURES)).astype(np.float32)


@pytest.fixture
def recurrent(graph: Any) -> ir.Model:
    """Return a GRU over a sequence of any length and batch, which answers otherwise at 8 kHz."""
    body = f"y, last = GRU <hidden_size = {UNITS}> (x, w, r)"
    return graph(f"g (float[length, batch, {FEATURES}] x) => (float[l, 1, b, {UNITS}] y) {{ {body} }}", WEIGHTS)


def answers(file: Path, runtime: str, **inputs: Any) -> Any:
    session = find_runtime(runtime).load(file, Settings(target="here", runtime=runtime))
    return session.run(inputs)["y"]


def test_the_length_of_a_sequence_is_fixed_and_its_batch_stays_free(recurrent: ir.Model, tmp_path: Path) -> None:
    file, plain = tmp_path / "m.tflite", tmp_path / "m.onnx"
    fixed = write(recurrent, Encodings(), TARGET, file, [{"x": SERIES}])

    assert fixed.shapes == {"x": (LENGTH, -1, FEATURES)} and not fixed.values
    assert (
        fixed.note == f"As in all samples, x takes ({LENGTH}, any, 3) alone: the target's format cannot leave it free."
    )
    ir.save(recurrent, plain)
    x = np.concatenate([SERIES[0], SERIES[1]], axis=1)
    np.testing.assert_allclose(answers(file, "litert", x=x), answers(plain, "onnxruntime", x=x), atol=1e-5)


def test_nothing_is_fixed_where_nothing_must_be(graph: Any, tmp_path: Path) -> None:
    model = graph("g (float[b, n] x) => (float[b, n] y) { y = Relu(x) }", {})
    fixed = write(model, Encodings(), TARGET, tmp_path / "m.tflite", [{"x": SERIES[:, 0]}])

    assert not fixed.shapes and fixed.note == ""
    assert answers(tmp_path / "m.tflite", "litert", x=np.ones((2, 9), np.float32)).shape == (2, 9)


@pytest.fixture
def by_rate(graph: Any) -> ir.Model:
    """Return a network whose two branches differ in shape, so that LiteRT must know which one is taken."""
    branches = (
        "then_branch = t () => (float[b, n] a) { a = Relu(x) }, else_branch = e () => (float[b] c) { c = ReduceSum "
        "<keepdims = 0> (x, last) }"
    )
    body = f"slower = Equal(sr, slow) y = If (slower) <{branches}>"
    return graph(f"g (float[b, 6] x, int64 sr) => (float[k] y) {{ {body} }}", {**WEIGHTS, "last": np.array([1])})


def test_a_whole_number_that_decides_becomes_a_constant(by_rate: ir.Model, tmp_path: Path) -> None:
    samples = {"x": RNG.standard_normal((5, 6)).astype(np.float32), "sr": np.full(5, 16_000)}
    fixed = write(by_rate, Encodings(), TARGET, tmp_path / "m.tflite", [samples])

    assert {name: value.item() for name, value in fixed.values.items()} == {
        "sr": 16_000
    } and "sr is 16000" in fixed.note
    x = samples["x"][:1]
    np.testing.assert_allclose(answers(tmp_path / "m.tflite", "litert", x=x, sr=np.array(16_000)), x.sum(1), atol=1e-5)
    with pytest.raises(EdgemlError, match="input sr is 16000 for good in this artifact, fed is 8000"):
        answers(tmp_path / "m.tflite", "litert", x=x, sr=np.array(8_000))


def test_one_that_changes_in_samples_held_back_does_not(by_rate: ir.Model, tmp_path: Path) -> None:
    parts = [np.full(5, 16_000), np.full(5, 16_000), np.array([16_000, 8_000])]
    splits = [{"x": RNG.standard_normal((len(sr), 6)).astype(np.float32), "sr": sr} for sr in parts]
    with pytest.raises(EdgemlError, match=r"If.*its branches give"):
        write(by_rate, Encodings(), TARGET, tmp_path / "m.tflite", splits)


def test_a_length_that_differs_in_samples_held_back_stays_free(recurrent: ir.Model, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="GRU"):
        write(recurrent, Encodings(), TARGET, tmp_path / "m.tflite", [{"x": SERIES}, {"x": SERIES[:, :4]}])


def test_nothing_is_fixed_because_a_disk_is_full(graph: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        tries = 0

        def export(self, model: ir.Model, encodings: Encodings, path: Path) -> None:
            self.tries += 1
            raise NotWritten("cannot be written: no space", where=str(path), mend="free some space")

    full = Full()
    monkeypatch.setattr(exporting, "find_exporter", lambda suffix: full)
    model = graph("g (float[b, n] x) => (float[b, n] y) { y = Relu(x) }", {})
    with pytest.raises(NotWritten):
        write(model, Encodings(), TARGET, tmp_path / "m.tflite", [{"x": SERIES[:, 0]}])
    assert full.tries == 1


def test_one_that_changes_does_not(by_rate: ir.Model, tmp_path: Path) -> None:
    samples = {"x": RNG.standard_normal((2, 6)).astype(np.float32), "sr": np.array([8_000, 16_000])}
    with pytest.raises(EdgemlError, match=r"If.*its branches give"):
        write(by_rate, Encodings(), TARGET, tmp_path / "m.tflite", [samples])


def test_an_operator_that_cannot_be_written_is_named_with_the_way_out(graph: Any, tmp_path: Path) -> None:
    model = graph("g (float[b, n, n] x) => (float[b] y) { y = Det(x) }", {})
    with pytest.raises(EdgemlError, match=r"\(Det\): this operator is not covered .*; leave this target out"):
        write(model, Encodings(), TARGET, tmp_path / "m.tflite", [{"x": np.ones((3, 2, 2), np.float32)}])
