"""What an earlier run left in a folder, once a later one has published there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from edgeml_bench import machine
from edgeml_compress.publishing import publish
from edgeml_compress.results import RESULT, CandidateResult, Compression, TargetResult, recipe_file

TARGET = "x86_64-onnxruntime"


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def result(model: str, **artifacts: str) -> bytes:
    """A result whose candidates' artifacts hold their own paths, relative to its folder; recipes are their names."""
    made = [
        CandidateResult(name=n, artifact=a, size_bytes=len(a), sha256=sha256(a), recipe=n) for n, a in artifacts.items()
    ]
    target = TargetResult(
        target=TARGET,
        title="here",
        runtime="onnxruntime",
        chosen=made[0].name,
        artifact=made[0].artifact,
        size_bytes=made[0].size_bytes,
        float_artifact=made[0].artifact,
        float_size_bytes=made[0].size_bytes,
        p50_us=None,
        float_p50_us=None,
        accuracy=None,
        float_accuracy=None,
        cosine_min=None,
        notes=(),
        candidates=tuple(made),
    )
    done = Compression(
        model=model,
        model_sha256=sha256(model),
        targets=(target,),
        evaluation_samples=1,
        range_samples=1,
        validation_samples=1,
        max_drop=1.0,
        labelled=False,
        steps=(),
        parameters=1,
        layers=1,
        data_sha256="",
        machine=machine(),
        versions={},
        made_at="2025-01-01T00:00:00+00:00",
        seconds=1.0,
    )
    return msgspec.json.encode(done)


def fill(folder: Path, *places: str) -> None:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(place)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return a stage with one artifact of a model `b`, and a folder for it."""
    fill(tmp_path / "stage", f"{TARGET}/b.int8.onnx")
    (tmp_path / "out").mkdir()
    return tmp_path / "stage", tmp_path / "out"


def left(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_artifacts_that_only_an_earlier_result_names_are_gone(folders: tuple[Path, Path]) -> None:
    stage, out = folders
    names = [f"{TARGET}/b.int8.onnx", f"{TARGET}/b.int8-mixed.onnx", "raspberrypi5-litert/b.int8.tflite"]
    fill(out, *names, "notes.txt", f"{TARGET}/mine.onnx")
    (out / RESULT).write_bytes(result("b.onnx", **{str(i): name for i, name in enumerate(names)}))
    publish(stage, out)
    assert left(out) == ["notes.txt", f"{TARGET}/b.int8.onnx", f"{TARGET}/mine.onnx"]
    assert not (out / "raspberrypi5-litert").exists()


def test_recipes_go_with_their_artifacts_but_for_those_that_changed(folders: tuple[Path, Path]) -> None:
    stage, out = folders
    artifacts = {name: f"{TARGET}/b.{name}.onnx" for name in ("int8-mixed", "float16", "int8")}
    fill(out, *artifacts.values())
    for name, artifact in artifacts.items():
        recipe_file(out / artifact).write_text(name)
    recipe_file(out / artifacts["float16"]).write_text("edited")
    recipe_file(stage / artifacts["int8"]).write_text("new")
    (out / RESULT).write_bytes(result("b.onnx", **artifacts))
    publish(stage, out)
    assert left(out) == [f"{TARGET}/b.{n}" for n in ("float16.onnx.recipe.toml", "int8.onnx", "int8.onnx.recipe.toml")]
    assert recipe_file(out / artifacts["int8"]).read_text() == "new"


def test_no_model_of_the_user_is_removed(folders: tuple[Path, Path]) -> None:
    """It stands in a result as the float candidate: the one read now, the one read before, one outside the folder."""
    stage, out = folders
    fill(out, "a.onnx", "b.onnx")
    fill(out.parent, "c.onnx")
    (out / RESULT).write_bytes(result("a.onnx", float32="a.onnx", other="b.onnx", outside="../c.onnx"))
    (out.parent / "c.onnx").write_text("../c.onnx")
    publish(stage, out, used=[out / "b.onnx"])
    assert left(out) == ["a.onnx", "b.onnx", f"{TARGET}/b.int8.onnx"] and (out.parent / "c.onnx").exists()


def test_a_file_that_changed_since_stays(folders: tuple[Path, Path]) -> None:
    stage, out = folders
    fill(out, f"{TARGET}/a.int8.onnx")
    (out / RESULT).write_bytes(result("a.onnx", int8=f"{TARGET}/a.int8.onnx"))
    (out / TARGET / "a.int8.onnx").write_text("trained further")
    publish(stage, out)
    assert f"{TARGET}/a.int8.onnx" in left(out)


def test_an_unreadable_result_names_nothing_and_is_gone(folders: tuple[Path, Path]) -> None:
    stage, out = folders
    fill(out, RESULT, "a.onnx")
    publish(stage, out)
    assert left(out) == ["a.onnx", f"{TARGET}/b.int8.onnx"]


def test_every_folder_that_changed_is_made_durable(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    stage, out = folders
    durable: list[Path] = []
    monkeypatch.setattr("edgeml_compress.publishing.fsync_folder", durable.append)
    publish(stage, out)
    assert set(durable) == {out.parent, out, out / TARGET}
