"""`edgeml compress` from outside: one document on standard output, files where it says, exit codes; and in a project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from edgeml import calibration_data
from edgeml.bundling import bundle_project
from edgeml.compression import (
    Options,
    Rebuilding,
    compress_file,
    compress_project,
    kept_compression,
    load_compression,
    summary,
)
from edgeml.data import prepare
from edgeml.project import Budget, DataSection, Project, Splits
from edgeml.project import Compression as Limits
from edgeml.train.imported import import_model
from edgeml_compress import Compression
from edgeml_targets.contract import stored
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.stored import Stored
from edgeml_targets.target import HARDWARE

HERE, ELSEWHERE = "x86_64-onnxruntime", "raspberrypi5-onnxruntime"
COMMAND = str(Path(sys.executable).parent / "edgeml")


@pytest.fixture
def work(tiny_cnn: Path, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    """A folder, entered, with `tiny.onnx` and `x.npy`."""
    (tmp_path / "tiny.onnx").write_bytes(tiny_cnn.read_bytes())
    np.save(tmp_path / "x.npy", images(60))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edgeml(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=120, check=False)


def test_the_document_stands_alone_on_standard_output_and_names_what_is_there(work: Path) -> None:
    done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--target", ELSEWHERE, "--json")
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Compression)
    assert found.schema == "edgeml.compress/1" and found.evaluation_samples == 20
    assert found.report == "out/report.html" and (work / found.report).is_file()
    (target,) = found.targets
    assert target.artifact.startswith(f"out/{ELSEWHERE}/tiny.int8") and (work / target.artifact).is_file()
    assert target.float_artifact == "tiny.onnx" and target.accuracy is None and target.p50_us is None
    assert found.command == f"edgeml compress tiny.onnx --calibration x.npy --target {ELSEWHERE} --json"


def test_people_get_a_table_a_sentence_and_paths(work: Path) -> None:
    done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--target", ELSEWHERE)
    assert done.returncode == 0, done.stderr
    assert "? no latency" in done.stdout.replace("[?]", "?") and "Report    out/report.html" in done.stdout
    assert all(len(line) <= 100 for line in done.stdout.splitlines()[:5])
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["Read", "Calibrated", "Made", "Measured"]


def test_layers_are_weighed_for_those_who_ask(work: Path) -> None:
    asked = ("compress", "tiny.onnx", "--calibration", "x.npy", "--target", ELSEWHERE, "--sensitivity")
    done = edgeml(*asked, "--json")
    (target,) = msgspec.json.decode(done.stdout, type=Compression).targets
    assert {cost.node for cost in target.sensitivity} == {layer.node for layer in target.layers}
    assert "What each layer costs" in (work / "out" / "report.html").read_text()
    shown = edgeml(*asked)
    assert f"{ELSEWHERE}: each layer alone in integers" in shown.stdout
    assert all(layer.node in shown.stdout for layer in target.sensitivity)
    assert len(shown.stderr.splitlines()[-1].split("costs most")) == 2


def test_a_budget_that_nothing_meets_is_exit_code_1_with_the_nearest(work: Path) -> None:
    asked = ("--target", ELSEWHERE, "--max-size-bytes", "1000", "--json")
    done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", *asked)
    assert done.returncode == 1
    (target,) = msgspec.json.decode(done.stdout, type=Compression).targets
    assert target.unmet is not None
    assert target.unmet.startswith(
        f"{target.chosen} takes {target.size_bytes:,} bytes, the budget is 1,000; it has a worst"
    )
    assert target.unmet in done.stderr.splitlines()[-1]
    shown = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", *asked[:-1])
    assert shown.returncode == 1 and "over budget" in shown.stdout
    assert (shown.stdout + shown.stderr).count(target.unmet) == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("tiny.onnx",), "tiny.onnx: no samples to calibrate with"),
        (("--calibration", "x.npy"), "--calibration: no model is given"),
        (("tiny.onnx", "--calibration", "x.npy", "--target", "x86_64-onnxruntim"), "did you mean x86_64-onnxruntime?"),
        (("tiny.onnx", "--calibration", "x.npy", "--preprocess", "none.toml"), "none.toml: no such file"),
        (("tiny.onnx", "--calibration", "x.npy", "--max-drop", "101"), "Invalid value for '--max-drop'"),
        ((), "edgeml.toml"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], named: str, work: Path) -> None:
    there = sorted(work.rglob("*"))
    done = edgeml("compress", *arguments)
    assert done.returncode == 2 and named in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == "" and sorted(work.rglob("*")) == there


def test_a_folder_that_cannot_be_written_to_is_named(work: Path) -> None:
    (work / "file").write_text("in the way")
    done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--target", ELSEWHERE, "--out", "file/out")
    assert done.returncode == 2 and "file/out" in done.stderr.splitlines()[-1]


def test_a_file_in_the_way_of_the_folder_is_told_before_anything_is_read(work: Path) -> None:
    with pytest.raises(EdgemlError, match=r"my\.onnx is a file, not a folder"):
        (work / "my.onnx").write_text("in the way")
        compress_file(Path("none.onnx"), Path("x.npy"), [ELSEWHERE], Path("my.onnx"))
    assert (work / "my.onnx").read_text() == "in the way"


RUNTIMES = [
    "x86_64-litert",
    *(pytest.param(f"x86_64-{name}", marks=pytest.mark.slow) for name in ("onnxruntime", "openvino")),
]


@pytest.mark.parametrize("target", RUNTIMES)
def test_weights_beside_the_file_are_compressed_with_labels_for_every_runtime(target: str, work: Path) -> None:
    """As `torch.onnx.export` writes them by default."""
    model = onnx.load("tiny.onnx")
    onnx.save(model, "beside.onnx", save_as_external_data=True, location="beside.onnx.data", size_threshold=0)
    np.save("y.npy", np.arange(60) % 10)
    found = compress_file(
        Path("beside.onnx"), Path("x.npy"), [target], Path("out"), options=Options(labels=Path("y.npy"))
    )
    assert {c.name for c in found.targets[0].candidates} >= {"float32", "int8"}


def test_a_projects_own_target_is_found_from_its_folder_and_from_elsewhere(work: Path) -> None:
    (work / "shop" / "targets").mkdir(parents=True)
    text = (HARDWARE / f"{ELSEWHERE}.toml").read_text()
    (work / "shop" / "targets" / "mypc-onnxruntime.toml").write_text(text)
    asked = ("compress", "../tiny.onnx", "--calibration", "../x.npy", "--target", "mypc-onnxruntime", "--json")
    done = subprocess.run(
        [COMMAND, *asked], capture_output=True, text=True, timeout=120, check=False, cwd=work / "shop"
    )
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout, type=Compression).targets[0].target == "mypc-onnxruntime"
    benched = edgeml("bench", "tiny.onnx", "--target", "mypc-onnxruntime", "--project", "shop")
    assert benched.returncode == 2 and "mypc-onnxruntime" in benched.stderr and "no such target" not in benched.stderr
    missed = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--target", "mypc-onnxruntime")
    assert missed.returncode == 2 and "no such target in targets or " in missed.stderr


def test_options_reach_the_choice(work: Path) -> None:
    np.save("y.npy", np.arange(60) % 10)
    options = Options(labels=Path("y.npy"), max_drop=100.0, budget=Budget(size_bytes=10**6))
    found = compress_file(Path("tiny.onnx"), Path("x.npy"), [ELSEWHERE], Path("out"), options=options)
    assert found.labelled and found.max_drop == 100.0 and found.targets[0].size_budget_bytes == 10**6
    assert found.targets[0].chosen.startswith("int8")
    assert summary(found).startswith(f"{found.targets[0].chosen} on {ELSEWHERE}: within the budget of 100.0 points, ")


def test_a_project_is_compressed_from_its_own_splits(work: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez("data.npz", inputs=rng.standard_normal((400, 3, 16, 16)).astype(np.float32), labels=np.arange(400) % 10)
    project = Project(
        root=work,
        name="tiny",
        scope="a test",
        targets=(ELSEWHERE,),
        data=DataSection(source="data.npz", splits=Splits(calibration=0.2, validation=0.2, test=0.3)),
    )
    dataset = prepare(project)
    model = import_model(project, Path("tiny.onnx"))
    found = compress_project(project)
    assert found.evaluation_samples == len(dataset.splits["test"])
    assert found.range_samples == len(dataset.splits["calibration"])
    assert found.labelled and Path(found.targets[0].artifact).is_file()
    kept = load_compression(project.workspace / "compressed" / model.id)
    assert kept == found == kept_compression(project, model)
    for other in (
        {"targets": (ELSEWHERE, HERE)},
        {"budgets": {ELSEWHERE: Budget(size_bytes=10**6)}},
        {"compression": Limits(max_drop=2.0)},
    ):
        assert kept_compression(project.model_copy(update=other), model) is None
    with Path(kept.targets[0].artifact).open("ab") as artifact:
        artifact.write(b"x")
    assert kept_compression(project, model) is None
    with pytest.raises(EdgemlError, match="not what compression made; make it again"):
        bundle_project(project)


def test_a_result_is_found_from_another_folder(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compress_file(Path("tiny.onnx"), Path("x.npy"), [ELSEWHERE], Path("out"))
    (work / "elsewhere").mkdir()
    monkeypatch.chdir(work / "elsewhere")
    found = load_compression(work / "out")
    assert found.model == "../tiny.onnx" and Path(found.targets[0].artifact).is_file()


def test_a_recipe_makes_its_candidate_again_to_the_bit(work: Path) -> None:
    done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--target", ELSEWHERE, "--json")
    (target,) = msgspec.json.decode(done.stdout, type=Compression).targets
    candidate = target.candidate("int8")
    (work / "int8.toml").write_text(candidate.recipe)
    asked = ("--target", ELSEWHERE, "--recipe", "int8.toml", "--out", "again")
    again = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", *asked, "--json")
    (made,) = msgspec.json.decode(again.stdout, type=Rebuilding).artifacts
    assert (made.recipe, made.sha256, made.size_bytes) == ("int8", candidate.sha256, candidate.size_bytes)
    assert (work / made.artifact).read_bytes() == (work / candidate.artifact).read_bytes()
    shown = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", *asked)
    assert candidate.sha256 in shown.stdout
    beside = ("--recipe", f"{candidate.artifact}.recipe.toml", "--out", "beside", "--target", ELSEWHERE, "--json")
    found = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", *beside)
    assert msgspec.json.decode(found.stdout, type=Rebuilding).artifacts[0].sha256 == candidate.sha256


def test_a_recipe_that_is_none_ends_in_one_line(work: Path) -> None:
    (work / "bad.toml").write_text('name = "x"\n[[passes]]\nname = "quantize_weights"\nnames = ["gone"]\n')
    for file, said in (("missing.toml", "cannot be read"), ("bad.toml", "gone: the model has no such weight")):
        done = edgeml("compress", "tiny.onnx", "--calibration", "x.npy", "--recipe", file, "--out", "none")
        assert done.returncode == 2 and said in done.stderr.splitlines()[-1] and done.stdout == ""


def test_samples_on_the_disk_give_the_same_artifacts_and_are_never_read_whole(
    work: Path,
    images,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory does not grow with samples: nothing reads a whole part, of which evaluation is the smallest but validation."""
    np.save("x.npy", images(300))
    targets = [ELSEWHERE, "raspberrypi4-litert"]  # timed nowhere, so that chance has no say
    held = compress_file(Path("tiny.onnx"), Path("x.npy"), targets, Path("held"))
    read: list[int] = []
    whole = Stored.__array__

    def counted(array: Stored, *arguments: Any, **named: Any) -> Any:
        read.append(len(array))
        return whole(array, *arguments, **named)

    monkeypatch.setattr(calibration_data, "MOST_HELD_BYTES", 0)
    monkeypatch.setattr(stored, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(Stored, "__array__", counted)
    found = compress_file(Path("tiny.onnx"), Path("x.npy"), targets, Path("stored"))
    assert 0 < max(read) < found.evaluation_samples == 100
    assert found.data_sha256 == held.data_sha256
    for target, before in zip(found.targets, held.targets, strict=True):
        assert target.chosen == before.chosen and target.cosine_min == before.cosine_min
        assert [(c.name, c.sha256) for c in target.candidates] == [(c.name, c.sha256) for c in before.candidates]
