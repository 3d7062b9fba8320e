"""The chain in a small project: gates stop it, a retrain wins or loses, the drill finds a fallback that does not answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml import data, drill, ledger, lifecycle, stages
from edgeml.gates import Verdict
from edgeml.project import Project, load_project
from edgeml.retraining import retrain
from edgeml_targets.contract import bundle as contract
from edgeml_targets.contract.errors import GateFailed

pytestmark = pytest.mark.system


def edgeml(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeml", *args],
        cwd=project.root,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def inverted(project: Project) -> tuple[np.ndarray, np.ndarray]:
    """What the devices see after the light was turned around: the live samples, inverted, with their labels."""
    dataset = data.prepare(project)
    live = dataset.splits["live"]
    return 1.0 - np.asarray(dataset.inputs[live]), dataset.labels[live]


def test_the_first_release_passed_every_gate_that_was_asked(project: Project) -> None:
    said = {g.gate: g.verdict for p in lifecycle.status(project).phases for g in p.gates}
    pending = {gate for gate, verdict in said.items() if verdict == Verdict.PENDING}
    assert pending == {"canary_healthy", "no_drift", "not_stale"}
    assert all(verdict == Verdict.PASS for gate, verdict in said.items() if gate not in pending)
    assert stages.verify_ledger(project).faults == ()


def test_a_criterion_that_is_missed_stops_the_chain_with_exit_code_1(project: Project) -> None:
    file = project.root / "edgeml.toml"
    file.write_text(
        file.read_text().replace('metric = "accuracy"\nthreshold = 0.5', 'metric = "accuracy"\nthreshold = 1.5')
    )
    done = edgeml(project, "fleet", "release")
    assert done.returncode == 1
    assert "artifact_meets_criterion" in done.stderr
    assert "go back to model_engineering" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_retrain_without_new_labels_is_not_released(project: Project) -> None:
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text().replace("epochs = 6", "epochs = 5"))  # else it would be the same model
    done = retrain(load_project(project.root))
    assert (done.verdict, done.release) == ("fail", None)
    assert "challenger_beats_champion" in done.reason


def test_a_retrain_on_new_labels_beats_the_champion_and_is_released(project: Project) -> None:
    images, labels = inverted(project)
    names = data.prepare(project).classes
    data.add_labels(project, images, np.array([names[i] for i in labels]), source="test")
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text().replace("epochs = 6", "epochs = 12"))
    done = edgeml(project, "retrain", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    got = json.loads(done.stdout)
    assert (got["schema"], got["verdict"], got["release"]) == ("edgeml.retrain/1", "pass", "r2")
    assert got["champion"]["release"] == "r1"
    assert stages.verify_ledger(project).faults == ()


def test_a_retrain_that_gives_the_champion_again_releases_nothing(project: Project) -> None:
    done = retrain(project)
    assert (done.verdict, done.release) == ("fail", None) and "training gave what r1 is" in done.reason


def test_the_same_model_is_not_released_twice(project: Project) -> None:
    done = edgeml(project, "fleet", "release")
    assert done.returncode == 2 and "r1 is this model already" in done.stderr.splitlines()[-1]


def test_after_an_interrupted_retrain_the_release_says_which_model_it_takes_and_judges_it(project: Project) -> None:
    champion = stages.champion_of(project)
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text().replace("epochs = 6", "epochs = 5"))
    again = load_project(project.root)
    challenger = stages.engineer(again, stages.prepare(again))  # so far a retrain came
    assert champion is not None and champion.model != challenger.id
    done = edgeml(project, "fleet", "release")
    assert done.returncode == 1 and "gate challenger_beats_champion" in done.stderr
    assert f"Took       model {challenger.id}, trained " in done.stderr
    assert f"the fleet runs r1, model {champion.model}" in done.stderr
    assert "r1 is this model already" in edgeml(project, "fleet", "release", champion.model).stderr


def test_a_cut_ledger_is_found_by_the_release_that_carries_its_head(project: Project) -> None:
    lines = project.ledger.read_bytes().splitlines(keepends=True)
    project.ledger.write_bytes(b"".join(lines[:-3]))
    project.ledger.with_suffix(".head").unlink()
    done = edgeml(project, "lifecycle", "verify")
    assert done.returncode == 1
    assert "r1" in done.stdout


def test_the_drill_finds_a_fallback_that_answers_otherwise(project: Project, tmp_path: Path) -> None:
    champion = stages.champion_of(project)
    assert champion is not None
    target, good = next(iter(champion.bundles.items()))
    assert drill.drill(good, good, target=target).right > 0
    opened = contract.open_bundle(good, tmp_path / "slot")
    golden = opened.golden()
    wrong = contract.golden_bytes(contract.Golden(golden.inputs, -golden.outputs))
    manifest = msgspec.structs.replace(opened.manifest, golden=contract.describe_bytes(contract.GOLDEN, wrong))
    contract.write_bundle(tmp_path / "bad.bundle", manifest, opened.artifact, wrong)
    found = drill.drill(good, tmp_path / "bad.bundle", target=target)
    assert found.right < found.golden


def test_the_way_back_is_tried_also_for_hardware_that_is_not_here(project: Project, tmp_path: Path) -> None:
    champion = stages.champion_of(project)
    assert champion is not None
    opened = contract.open_bundle(champion.bundles["x86_64-onnxruntime"], tmp_path / "slot")
    foreign = msgspec.structs.replace(opened.manifest.settings, target="raspberrypi5-onnxruntime")
    manifest = msgspec.structs.replace(opened.manifest, settings=foreign)
    bundle = tmp_path / "pi.bundle"
    contract.write_bundle(bundle, manifest, opened.artifact, opened.golden_file.read_bytes())
    (found,) = drill.drills({"raspberrypi5-onnxruntime": bundle}, {"raspberrypi5-onnxruntime": bundle})
    assert found.right == found.golden > 0


def test_an_artifact_over_its_size_budget_is_not_released(project: Project) -> None:
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text() + "\n[budgets.x86_64-litert]\nsize_bytes = 100\n")
    with pytest.raises(GateFailed, match="larger than its budget"):
        stages.release(load_project(project.root))


def test_ten_additions_of_thirty_lead_to_a_retrain_that_passes(project: Project) -> None:
    """Three would start none: the policy counts all that came since the champion's dataset, and so does the gate."""
    images, labels = inverted(project)
    names = np.array(data.prepare(project).classes)
    before = stages.champion_of(project)
    assert before is not None
    for start in range(0, 300, 30):
        part = slice(start, start + 30)
        rng = np.random.default_rng(start)
        shown = images[np.arange(start, start + 30) % len(images)]
        noisy = (shown + rng.normal(0, 0.01, shown.shape)).astype(np.float32)
        data.add_labels(project, noisy, names[labels[np.arange(start, start + 30) % len(labels)]], source=str(part))
    assert data.count_labels_since(project, before.dataset) == 300 >= project.fleet.retrain_labels
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text().replace("epochs = 6", "epochs = 12"))
    done = retrain(load_project(project.root))
    assert (done.verdict, done.release) == ("pass", "r2"), done.reason
    assert done.champion is not None and all(share is not None for share in done.champion.accuracies.values())
    found = [r for r in ledger.read(project.ledger) if r.gate == "challenger_beats_champion"][-1]
    assert "on 90 fresh labels" in found.reason
