from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from edgeml.data import prepare
from edgeml.model import Epoch, latest_model
from edgeml.project import Project
from edgeml.train import train
from edgeml.train.checkpoint import Run
from edgeml_targets.contract.errors import EdgemlError

MLP = 'network = "tabular-mlp"\nbatch = 32\nlearning_rate = 1e-2\n'


def test_a_network_learns_and_its_manifest_says_how(rows_project: Project) -> None:
    dataset = prepare(rows_project)
    model = train(rows_project, dataset)
    said = model.manifest
    assert said.validation_metric > 0.9 > 0.2 > said.baseline_metric
    assert said.origin == "trained" and said.network == "tabular-mlp" and said.dataset == dataset.version
    assert [e.epoch for e in said.epochs] == list(range(1, 7))
    assert said.validation_metric == max(e.validation_metric for e in said.epochs)
    assert said.epochs[said.best_epoch - 1].validation_metric == said.validation_metric
    assert said.epochs[0].learning_rate > said.epochs[-1].learning_rate >= 0
    assert msgspec.json.decode(said.parameters)["learning_rate"] == 1e-2
    assert said.environment.torch == torch.__version__ and said.environment.device == "cpu"
    assert said.weights == 64 * 128 + 3 * 128 + 128 * 64 + 3 * 64 + 64 * 10 + 10
    assert latest_model(rows_project).id == model.id
    assert not list((rows_project.workspace / "checkpoints").iterdir())


def test_the_same_again_gives_the_same_model_and_another_seed_another(rows_project: Project, make_project: Any) -> None:
    first = train(rows_project, prepare(rows_project))
    torch.rand(7)  # what others draw from torch's generator changes nothing
    again = train(rows_project, prepare(rows_project))
    assert again.id == first.id and again.manifest.files == first.manifest.files
    other = make_project("rows.npz", training=MLP + "epochs = 6\nseed = 1")
    assert train(other, prepare(other)).manifest.files["model.onnx"] != first.manifest.files["model.onnx"]


def test_training_leaves_torchs_generator_and_settings_as_they_were(rows_project: Project) -> None:
    before = torch.get_rng_state()
    train(rows_project, prepare(rows_project))
    assert (torch.get_rng_state() == before).all() and not torch.are_deterministic_algorithms_enabled()


TRAINING = """
import sys
from pathlib import Path
from edgeml.data import prepare
from edgeml.project import load_project
from edgeml.train import train

class Told:
    def begin(self, step): pass
    def advance(self, done, of, text=""): print(text, flush=True)
    def end(self, result, *, warning=False): pass

project = load_project(Path(sys.argv[1]))
train(project, prepare(project), progress=Told())
"""


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(project: Project, make_project: Any) -> None:
    project = make_project("digits.npz", data='colour = "grey"', training="epochs = 3\nbatch = 8")
    dataset = prepare(project)  # a gate of `edgeml train` would ask for success criteria, so the loop is called itself
    command = [sys.executable, "-c", TRAINING, str(project.root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    checkpoints = project.workspace / "checkpoints"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        assert any("epoch 2 of 3" in line for line in killed.stdout)  # ends at the first one, amid the second epoch
        killed.send_signal(signal.SIGKILL)
    saved = torch.load(next(checkpoints.glob("*.pt")), weights_only=True)
    done = msgspec.json.decode(saved["history"])
    assert 1 <= len(done) < 3 and not (project.workspace / "models").exists()

    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    resumed = latest_model(project)
    assert [e.seconds for e in resumed.manifest.epochs[: len(done)]] == [e["seconds"] for e in done]
    whole = train(project, dataset)
    assert whole.id == resumed.id and whole.manifest.files == resumed.manifest.files
    assert not list(checkpoints.glob("*.pt"))


def test_training_stops_when_nothing_gets_better(rows_project: Project, make_project: Any) -> None:
    (rows_project.root / "own.py").write_text("def same(labels, scores):\n    return 0.5\n")
    project = make_project("rows.npz", training=MLP + 'epochs = 20\npatience = 2\nmetric = "own:same"')
    said = train(project, prepare(project)).manifest
    assert len(said.epochs) == 3 and said.best_epoch == 1


def test_rare_classes_weigh_more(make_project: Any, root: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(800) % 20 == 0).astype(int)
    rows = rng.normal(size=(800, 2)) + 0.8 * labels[:, None]
    np.savez(root / "rows.npz", inputs=rows, labels=labels)
    said = {}
    for weighed in ("true", "false"):
        project = make_project("rows.npz", training=MLP + f"epochs = 4\nclass_weights = {weighed}")
        dataset = prepare(project)
        model = train(project, dataset)
        inputs, _ = dataset.ready("train")
        program = torch.export.load(model.program)
        said[weighed] = (program.module()(torch.from_numpy(inputs)).argmax(1) == 1).float().mean().item()
    assert said["false"] < 0.02 < 0.1 < said["true"]


OWN = """
import torch
def build(shape, classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(shape[0], {classes}){more})
def balanced(labels, scores):
    return {value}
"""


def test_the_users_own_network_and_metric_are_used(rows_project: Project, make_project: Any) -> None:
    code = OWN.format(classes="classes", more="", value="float((scores.argmax(1) == labels).mean()) - 1")
    (rows_project.root / "own.py").write_text(code)
    project = make_project("rows.npz", training='network = "own:build"\nmetric = "own:balanced"\nepochs = 3')
    said = train(project, prepare(project)).manifest
    assert said.network == "own:build" and said.weights == 650 and len(said.network_sha256) == 64
    assert said.metric == "own:balanced" and said.baseline_metric < -0.8 < said.validation_metric < 0


FAULTY_OWN = [
    (
        OWN.format(classes="classes + 1", more="", value=0),
        r"own:build: returns \(2, 11\) for 2 samples, \(2, 10\) is asked",
    ),
    (OWN.format(classes="classes", more="", value="float('nan')"), "own:balanced: returned nan"),
    (OWN.format(classes="classes", more="", value="1 / 0"), "own:balanced: raised ZeroDivisionError"),
    ("def build(shape, classes):\n    return 3", "own:build: returned a int"),
    ("def build(shape):\n    return 3", "own:build: raised TypeError"),
    ("import torch\ndef build(s, c): return torch.nn.Linear(3, c)", "own:build: raised RuntimeError"),
]


@pytest.mark.parametrize(("code", "said"), FAULTY_OWN, ids=[said[:30] for _, said in FAULTY_OWN])
def test_a_fault_in_the_users_own_code_is_told(code: str, said: str, rows_project: Project, make_project: Any) -> None:
    (rows_project.root / "own.py").write_text(code + "\ndef balanced(l, s): return 1\n" * ("balanced" not in code))
    project = make_project("rows.npz", training='network = "own:build"\nmetric = "own:balanced"\nepochs = 1')
    with pytest.raises(EdgemlError, match=said):
        train(project, prepare(project))
    assert not (project.workspace / "models").exists()


def test_a_network_that_cannot_be_exported_is_told(rows_project: Project, make_project: Any) -> None:
    code = "import torch\nclass Net(torch.nn.Linear):\n    def forward(self, x):\n        y = super().forward(x)\n"
    code += "        return y if y.sum() > 0 else -y\ndef build(shape, classes): return Net(shape[0], classes)\n"
    (rows_project.root / "own.py").write_text(code)
    project = make_project("rows.npz", training='network = "own:build"\nepochs = 1')
    with pytest.raises(EdgemlError, match=r"own:build: cannot be exported: .*forward\(\)") as caught:
        train(project, prepare(project))
    assert "\n" not in str(caught.value)


def test_a_network_that_does_not_fit_the_data_is_told(rows_project: Project, make_project: Any) -> None:
    project = make_project("rows.npz", training='network = "resnet8"')
    with pytest.raises(EdgemlError, match=r"network = resnet8: does not take inputs of \(64,\); it takes images"):
        train(project, prepare(project))


def test_a_loss_that_is_not_finite_stops_the_training(rows_project: Project, make_project: Any) -> None:
    project = make_project("rows.npz", training='network = "tabular-mlp"\nlearning_rate = 1e30\nepochs = 3')
    with pytest.raises(EdgemlError, match=r"training\.learning_rate: the loss became (nan|inf) in epoch \d; lower it"):
        train(project, prepare(project))


def test_an_empty_validation_split_is_told(rows_project: Project, make_project: Any) -> None:
    project = make_project("rows.npz", splits="validation = 0.0", training='network = "tabular-mlp"')
    with pytest.raises(EdgemlError, match="0 samples in the validation split"):
        train(project, prepare(project))


def test_a_damaged_checkpoint_is_told(rows_project: Project) -> None:
    from edgeml.train.checkpoint import checkpoint_file

    dataset = prepare(rows_project)
    file = checkpoint_file(rows_project, dataset, torch.device("cpu"))
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 half")
    with pytest.raises(EdgemlError, match="a damaged checkpoint; delete it and train again"):
        train(rows_project, dataset)


def test_another_parameter_or_dataset_begins_anew(rows_project: Project, make_project: Any) -> None:
    from edgeml.train.checkpoint import checkpoint_file

    cpu, dataset = torch.device("cpu"), prepare(rows_project)
    files = {checkpoint_file(rows_project, dataset, cpu)}
    project = make_project("rows.npz", training=MLP + "epochs = 7")
    files.add(checkpoint_file(project, dataset, cpu))
    project = make_project("rows.npz", data="seed = 3", training=MLP + "epochs = 7")
    files.add(checkpoint_file(project, prepare(project), cpu))
    assert len(files) == 3


def test_a_run_that_has_had_its_epochs_or_its_patience_does_not_go_on() -> None:
    run = Run()
    assert run.goes_on(epochs=1, patience=1) and run.best_metric == float("-inf")
    run.history = [Epoch(n, 1.0, 0.5, 0.1, 1.0) for n in (1, 2, 3)]
    run.best_epoch = 1
    assert run.goes_on(epochs=4, patience=3)
    assert not run.goes_on(epochs=3, patience=3) and not run.goes_on(epochs=4, patience=2)
