"""Candidates say what they are: what the file computes in float has a line, and what was fixed for it has a note."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import CalibrationData, Limits, compress, making, rebuild
from edgeml_compress.candidates import recipes, static_int8
from edgeml_compress.exporting import Fixed
from edgeml_compress.ladder.trials import Judge, Trials
from edgeml_compress.making import Made, make
from edgeml_compress.recipe import Recipe
from edgeml_compress.source import calibrated, read_source, reference_answers
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.target import find_target

LITERT = find_target("x86_64-litert")
RNG = np.random.default_rng(0)
LENGTH, WIDE = 16, 32


def drawn(count: int, *shape: int) -> dict[str, Any]:
    return {"x": RNG.standard_normal((count, *shape), np.float32)}


def weight(*shape: int) -> Any:
    return RNG.standard_normal(shape, np.float32) / np.float32(shape[0] ** 0.5)


def trials_of(model: ir.Model, samples: dict[str, Any], folder: Path) -> Trials:
    file = folder / "m.onnx"
    ir.save(model, file)
    source = calibrated(read_source(file, samples), samples, folder / "none")
    return Trials(source, LITERT.scheme, Judge(samples, reference_answers(source, samples), None), 1.0)


@pytest.fixture
def attention(graph: Any) -> ir.Model:
    """Return a network whose third product is of two activations."""
    text = f"""g (float[b, {LENGTH}, {WIDE}] x) => (float[b, {LENGTH}, 64] y) {{
        q = MatMul(x, w) k = MatMul(x, v) t = Transpose <perm = [0, 2, 1]> (k) [scores] s = MatMul(q, t) y = MatMul(s, u)
    }}"""
    return graph(text, {"w": weight(WIDE, WIDE), "v": weight(WIDE, WIDE), "u": weight(LENGTH, 64)})  # type: ignore[no-any-return]


def test_what_the_file_computes_in_float_has_a_line(attention: ir.Model, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    trials = trials_of(attention, drawn(8, LENGTH, WIDE), tmp_path)
    (_, made), _ = make(trials, LITERT, [static_int8("minmax")], tmp_path)

    assert made.kept == ("MatMul scores: it multiplies two activations, which the target computes in float",)
    file = Interpreter(model_path=str(made.artifact))
    types = {d["index"]: d["dtype"] for d in file.get_tensor_details()}
    kinds = [(d["op_name"], types[d["inputs"][0]]) for d in file._get_ops_details()]
    assert [name for name, kind in kinds if kind is np.float32] == ["QUANTIZE", "BATCH_MATMUL", "QUANTIZE"]


@pytest.mark.parametrize(
    ("of_int8", "notes"),
    [
        (Fixed({"x": (7, 3)}), ["As in all samples, x takes (7, 3) alone"]),
        (
            Fixed({"x": (9, 3)}),
            ["float32: As in all samples, x takes (7, 3)", "int8: As in all samples, x takes (9, 3)"],
        ),
        (Fixed(), ["float32: As in all samples, x takes (7, 3) alone"]),
    ],
)
def test_what_was_fixed_for_each_candidate_is_told(
    attention: ir.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of_int8: Fixed, notes: list[str]
) -> None:
    def write(model: ir.Model, encodings: Encodings, target: Any, path: Path, splits: Any) -> Fixed:
        return of_int8

    monkeypatch.setattr(making, "write", write)
    monkeypatch.setattr(making, "write_float", lambda source, target, folder: (source.path, Fixed({"x": (7, 3)})))
    _, told = make(trials_of(attention, drawn(8, LENGTH, WIDE), tmp_path), LITERT, [static_int8("minmax")], tmp_path)
    assert len(told) == len(notes) and all(note.startswith(start) for note, start in zip(told, notes, strict=True))


def test_what_was_made_already_is_taken_and_what_is_no_candidate_any_more_is_removed(
    attention: ir.Model, tmp_path: Path
) -> None:
    trials, static = trials_of(attention, drawn(8, LENGTH, WIDE), tmp_path), static_int8("minmax")
    smaller, *others = recipes(static)[1:]
    first, _ = make(trials, LITERT, [static, *others], tmp_path)
    files = {made.name: made.artifact.stat().st_mtime_ns for made in first}
    unlike, same = Recipe(others[0].name), others[1]  # a recipe without steps makes float32
    again, notes = make(trials, LITERT, [static, smaller, unlike, same], tmp_path, first)
    assert [m.name for m in again] == ["float32", static.name, smaller.name, same.name]
    assert all(m in again and files[m.name] == m.artifact.stat().st_mtime_ns for m in first if m.name != unlike.name)
    assert f"{unlike.name} was left out: for this model it is the same as float32." in notes
    assert {p.name for p in tmp_path.glob("m.*")} == {"m.onnx", *_files(again)}


def _files(made: list[Made]) -> set[str]:
    return {m.artifact.name for m in made} | {f"{m.artifact.name}.recipe.toml" for m in made if m.recipe is not None}


@pytest.fixture
def recurrent(graph: Any, tmp_path: Path) -> Path:
    """Return the file of a GRU over a sequence of any length, which LiteRT must know."""
    weights = {"w": weight(1, 96, 8), "r": weight(1, 96, 32)}
    model = graph("g (float[n, b, 8] x) => (float[n, 1, b, 32] y) { y, l = GRU <hidden_size = 32> (x, w, r) }", weights)
    ir.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_a_rebuilt_artifact_says_what_was_fixed(recurrent: Path, tmp_path: Path) -> None:
    data = CalibrationData(*(drawn(4, 7, 1, 8) for _ in range(3)))
    note = rebuild(recurrent, data, Recipe("float16", ()), LITERT, tmp_path / "again" / "t" / "m.tflite")
    assert note == "As in all samples, x takes (7, any, 8) alone: the target's format cannot leave it free."


def test_a_length_that_differs_in_held_back_samples_alone_is_not_fixed(recurrent: Path, tmp_path: Path) -> None:
    data = CalibrationData(drawn(4, 7, 1, 8), drawn(4, 7, 1, 8), drawn(4, 5, 1, 8))
    with pytest.raises(EdgemlError, match=r"x86_64-litert: node .*GRU"):
        compress(recurrent, data, [LITERT], limits=Limits(), out=tmp_path / "out")
    with pytest.raises(EdgemlError, match="GRU"):
        rebuild(recurrent, data, Recipe("float16", ()), LITERT, tmp_path / "again" / "t" / "m.tflite")
