from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgeml.data import prepare
from edgeml.model import find_model, latest_model, model_ids
from edgeml.project import Project
from edgeml.train import import_model
from edgeml_targets.contract.errors import EdgemlError


def test_an_onnx_file_enters_the_chain_and_is_judged(trained_project: Project, tmp_path: Path) -> None:
    trained = latest_model(trained_project)
    file = tmp_path / "mine.onnx"
    shutil.copy(trained.onnx, file)
    model = import_model(trained_project, file)
    said = model.manifest
    assert said.origin == "imported" and said.network == "mine.onnx" and model.program is None
    assert said.validation_metric == pytest.approx(trained.manifest.validation_metric, abs=0.01)
    assert said.baseline_metric == trained.manifest.baseline_metric and said.classes == trained.manifest.classes
    assert said.input == trained.manifest.input and said.output == trained.manifest.output
    assert latest_model(trained_project).id == model.id != trained.id
    assert model_ids(trained_project) == sorted([model.id, trained.id])


def test_a_model_that_does_not_fit_the_data_is_told(rows_project: Project, tiny_cnn: Path, tiny_mlp: Path) -> None:
    with pytest.raises(EdgemlError, match=r"tiny_cnn\.onnx: takes \(3, 16, 16\), the dataset gives \(64,\); set size"):
        import_model(rows_project, tiny_cnn)
    with pytest.raises(EdgemlError, match=r"tiny_mlp\.onnx: takes \(12,\), the dataset gives \(64,\)"):
        import_model(rows_project, tiny_mlp)
    assert model_ids(rows_project) == []


def test_a_model_with_other_classes_is_told(rows_project: Project, tmp_path: Path) -> None:
    import torch

    from edgeml.train.result import INPUT, OUTPUT, export
    from edgeml_targets.contract.tensors import Tensor

    ports = (Tensor(INPUT, "float32", (-1, 64)), Tensor(OUTPUT, "float32", (-1, 3)))
    (tmp_path / "three.onnx").write_bytes(export(torch.nn.Linear(64, 3), *ports, name="three")["model.onnx"])
    with pytest.raises(EdgemlError, match=r"three\.onnx: no output has the 10 scores of 0, 1, 2"):
        import_model(rows_project, tmp_path / "three.onnx")


@pytest.mark.parametrize("content", [None, b"", b"not a model", b"\0" * 3000])
def test_what_is_no_model_is_told(content: bytes | None, rows_project: Project, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EdgemlError, match=r"m\.onnx: "):
        import_model(rows_project, file)


def test_a_model_whose_files_were_changed_is_told(trained_project: Project) -> None:
    model = latest_model(trained_project)
    content = bytearray(model.onnx.read_bytes())
    content[len(content) // 2] ^= 1
    model.onnx.write_bytes(content)
    with pytest.raises(EdgemlError, match="the model's files were changed"):
        find_model(trained_project, model.id)


def test_a_project_without_a_model_says_how_to_make_one(rows_project: Project) -> None:
    with pytest.raises(EdgemlError, match="small: no model yet; make one with edgeml train or edgeml import"):
        latest_model(rows_project)
    with pytest.raises(EdgemlError, match="abc: no such model in the workspace; edgeml train makes one"):
        find_model(rows_project, "abc")


def test_evaluation_counts_right_answers_by_class(trained_project: Project) -> None:
    from edgeml.evaluation import evaluate_model

    dataset, model = prepare(trained_project), latest_model(trained_project)
    for target in ("x86_64-onnxruntime", "x86_64-litert", "x86_64-openvino"):
        found = evaluate_model(trained_project, target=target)
        assert found.model == model.id and found.samples == len(dataset.splits["test"]) == sum(
            c.samples for c in found.classes
        )
        right = sum(c.right for c in found.classes)
        assert found.accuracy == pytest.approx(right / found.samples) and found.accuracy > 0.85
        assert found.accuracy_low < found.accuracy < found.accuracy_high
        for of_class in found.classes:
            assert (of_class.taken_for is None) == (of_class.right == of_class.samples)
            assert of_class.taken_for != of_class.name


def test_a_model_is_judged_on_the_dataset_that_it_was_made_from(trained_project: Project) -> None:
    from edgeml.evaluation import evaluate_model

    before, model = prepare(trained_project), latest_model(trained_project)
    arrays = dict(np.load(trained_project.root / "rows.npz"))
    np.savez(trained_project.root / "rows.npz", inputs=arrays["inputs"][:500], labels=arrays["labels"][:500])
    assert prepare(trained_project).version != before.version
    assert evaluate_model(trained_project, model.id).dataset == before.version


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "nothing"}, "nothing: no such file and no such model"),
        ({"split": "tset"}, "tset: no such split; choose one of train"),
        ({"target": "x86_64-onnxruntim"}, "did you mean x86_64-onnxruntime?"),
        ({"split": "live"}, r"split live: no samples; give it a share in \[data.splits\]"),
    ],
)
def test_what_cannot_be_judged_is_told(asked: dict[str, str], said: str, trained_project: Project) -> None:
    from edgeml.evaluation import evaluate_model

    with pytest.raises(EdgemlError, match=said):
        evaluate_model(
            trained_project, asked.get("model"), target=asked.get("target"), split=asked.get("split", "test")
        )
