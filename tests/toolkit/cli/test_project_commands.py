"""`edgeml init | data | train | import | eval`, as programs that other programs call."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeml.project import Project


def edgeml(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeml", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


def document(schema: str, *words: object, cwd: Path, status: int = 0) -> dict[str, object]:
    done = edgeml(*words, "--json", cwd=cwd)
    assert done.returncode == status, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    assert found["schema"] == schema
    return found


@pytest.fixture
def stated(project: Project) -> Project:
    """Return the project with success criteria, so that its gates can hold, and a training of a few seconds."""
    criteria = "".join(
        f'[success.{level}]\nmetric = "accuracy"\nthreshold = 0.5\nrisk = "x"\n'
        for level in ("business", "ml", "economic")
    )
    text = (project.root / "edgeml.toml").read_text().replace("[training]", "[training]\nepochs = 5\nbatch = 16")
    (project.root / "edgeml.toml").write_text(text + criteria)
    return project


def test_init_writes_a_project_named_after_its_folder(tmp_path: Path) -> None:
    assert document("edgeml.init/1", "init", "My Digits!", cwd=tmp_path)["name"] == "my-digits"
    again = edgeml("init", "My Digits!", cwd=tmp_path)
    assert again.returncode == 2 and "there is a project already" in again.stderr and again.stdout == ""


def test_data_check_prints_what_was_counted_and_fails_when_something_does_not_hold(project: Project) -> None:
    found = document("edgeml.data/1", "data", "check", cwd=project.root)
    description = found["description"]
    assert isinstance(description, dict) and description["samples"] == 600
    assert {"name", "value", "limit", "holds"} == set(description["checks"][0])
    shown = edgeml("data", "check", cwd=project.root)
    assert shown.returncode == 0 and "600 samples of 10 classes, 8 x 8 x 1 uint8; all checks hold." in shown.stdout
    arrays = dict(np.load(project.root / "digits.npz"))
    np.savez(project.root / "digits.npz", inputs=arrays["inputs"][:200], labels=arrays["labels"][:200])
    shown = edgeml("data", "check", cwd=project.root)
    assert shown.returncode == 1 and "samples a class" in shown.stdout and "does not hold" in shown.stdout


def test_data_add_keeps_what_it_is_given(project: Project, tmp_path: Path) -> None:
    images = np.stack([np.full((8, 8), level, np.uint8) for level in (9, 18, 27)])
    np.savez(tmp_path / "fresh.npz", inputs=images, labels=[1, 2, 3])
    found = document("edgeml.addition/1", "data", "add", tmp_path / "fresh.npz", cwd=project.root)
    assert isinstance(found["addition"], dict) and found["addition"]["samples"] == 3
    again = edgeml("data", "add", tmp_path / "fresh.npz", cwd=project.root)
    assert again.returncode == 0 and "was added before" in again.stdout


def test_data_add_says_so_when_nothing_is_new(project: Project, tmp_path: Path) -> None:
    arrays = np.load(project.root / "digits.npz")
    np.savez(tmp_path / "same.npz", inputs=arrays["inputs"][:5], labels=arrays["labels"][:5])
    done = edgeml("data", "add", tmp_path / "same.npz", cwd=project.root)
    assert done.returncode == 0 and "Nothing new: all 5 samples are known already" in done.stdout
    assert "added" not in done.stdout and "learns" not in done.stdout


def test_a_project_is_trained_judged_and_imported_into(stated: Project) -> None:
    trained = document("edgeml.train/1", "train", cwd=stated.root)
    file = stated.root / str(trained["onnx"])
    assert file.is_file() and not Path(str(trained["onnx"])).is_absolute()
    judged = document("edgeml.eval/1", "eval", cwd=stated.root)
    assert judged["model"] == trained["model"] and judged["split"] == "test"
    assert document("edgeml.eval/1", "eval", trained["onnx"], cwd=stated.root)["accuracy"] == judged["accuracy"]
    imported = document("edgeml.import/1", "import", trained["onnx"], cwd=stated.root)
    assert imported["model"] != trained["model"]
    released = edgeml("fleet", "release", cwd=stated.root)  # compresses first, and says what it does meanwhile
    assert released.returncode == 0 and "Measured" in released.stderr and "Released" in released.stderr
    assert "No window has come yet" in edgeml("fleet", "telemetry", cwd=stated.root).stdout
    shown = edgeml("eval", "--split", "validation", cwd=stated.root)
    assert "of 120 samples right on x86_64-onnxruntime (95 %:" in shown.stdout


def test_a_gate_that_does_not_hold_stops_the_training(project: Project) -> None:
    done = edgeml("train", cwd=project.root)
    assert done.returncode == 1 and "Traceback" not in done.stderr and not (project.workspace / "models").exists()


METRIC = """
import sys

def accuracy(labels, scores):
    print("scored", file=sys.stderr, flush=True)
    return float((scores.argmax(1) == labels).mean())
"""


def test_an_interrupted_training_says_how_it_goes_on(stated: Project) -> None:
    (stated.root / "own.py").write_text(METRIC)
    file = stated.root / "edgeml.toml"
    file.write_text(file.read_text().replace("epochs = 5", 'epochs = 1000\npatience = 1000\nmetric = "own:accuracy"'))
    command = [sys.executable, "-m", "edgeml", "train"]
    with subprocess.Popen(command, cwd=stated.root, stderr=subprocess.PIPE, text=True) as training:
        assert training.stderr is not None
        scored = (line for line in training.stderr if line == "scored\n")
        assert next(scored) and next(scored)  # so the first epoch is kept
        training.send_signal(signal.SIGINT)
        said = training.stderr.read()
    assert training.returncode == 130 and list(stated.workspace.glob("checkpoints/*.pt"))
    assert said.endswith("error: interrupted; the same command goes on with a training after its last whole epoch\n")


BAD = {
    "a value is NaN or infinite": (np.full((40, 3), np.nan), np.arange(40) % 2),
    "one class only": (np.zeros((40, 3)), np.zeros(40, int)),
    "holds no samples": (np.zeros((0, 3)), np.zeros(0, int)),
}


@pytest.mark.parametrize("said", BAD)
def test_bad_data_is_one_line_and_exit_code_2(said: str, stated: Project) -> None:
    inputs, labels = BAD[said]
    np.savez(stated.root / "digits.npz", inputs=inputs, labels=labels)
    done = edgeml("train", cwd=stated.root)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and done.stdout == "" and len(lines) == 1
    assert lines[0].startswith("error: ") and "digits.npz" in lines[0] and said in lines[0]
