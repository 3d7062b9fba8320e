"""How often a model or an artifact is right, over all and class by class."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.data.dataset import Dataset, open_dataset
from edgeml.data.preparation import prepare
from edgeml.data.splits import SPLITS
from edgeml.model import Model, find_model, latest_model, model_ids
from edgeml.project import Project
from edgeml_bench import Accuracy, answers
from edgeml_bench.accuracy import right_answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.models import float_artifact
from edgeml_targets.runtimes import find_runtime, installed
from edgeml_targets.target import Target

SCHEMA: Final = "edgeml.eval/1"


class ClassAccuracy(msgspec.Struct, frozen=True):
    """Of a class's `samples`, `right` were answered right; `taken_for` is the class that most of the others were taken for."""

    name: str
    samples: int
    right: int
    accuracy: float | None
    taken_for: str | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """The document `edgeml.eval/1`: shares of 1 with their 95 % interval (Wilson)."""

    schema: str = SCHEMA
    model: str
    target: str
    dataset: str
    split: str
    samples: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    classes: tuple[ClassAccuracy, ...]


def evaluate_model(
    project: Project,
    model: str | Path | None = None,
    *,
    target: str | None = None,
    split: str = "test",
    progress: Progress = SILENT,
) -> Evaluation:
    """Return how often a model or an artifact is right on a split.

    Args:
        project: Its data judges; its own targets are known.
        model: A model's id, or the path of an ONNX file or of an artifact of the target's runtime; default: the latest model.
        target: A target's name; default: the project's first.
        split: One of train, calibration, validation, test, golden, live, fresh.
        progress: Told of the steps.

    Raises:
        EdgemlError: There is no such model, target or split, the split is empty, or the artifact cannot be run here.
    """
    if split not in SPLITS:
        raise EdgemlError("no such split", where=split, mend=f"choose one of {', '.join(SPLITS)}")
    found = project.target(target or project.targets[0])
    name, file, dataset = _resolve(project, model, progress)
    if not len(dataset.splits[split]):
        raise EdgemlError("no samples", where=f"split {split}", mend="give it a share in [data.splits]")
    progress.begin("Evaluated")
    inputs, labels = dataset.ready(split)
    with tempfile.TemporaryDirectory() as folder:
        artifact = float_artifact(file, found, Path(folder))
        scores = answers(artifact, found.settings(), {_input_name(artifact, found): inputs})
    first = next(iter(scores.values())).reshape(len(labels), -1)
    accuracy = Accuracy(int(right_answers(first, labels).sum()), len(labels))
    evaluation = Evaluation(
        model=name,
        target=found.name,
        dataset=dataset.version,
        split=split,
        samples=accuracy.samples,
        accuracy=accuracy.share,
        accuracy_low=accuracy.low,
        accuracy_high=accuracy.high,
        classes=tuple(_by_class(first.argmax(1), labels, dataset.classes)),
    )
    progress.end(f"{accuracy.right:,} of {accuracy.samples:,} right on the {split} split")
    return evaluation


def _resolve(project: Project, model: str | Path | None, progress: Progress) -> tuple[str, Path, Dataset]:
    """Return what is to be judged: its name, its file, and the dataset that judges it.

    A model is judged on the dataset that it was made from: samples of a later one may be among those it was trained on.
    """
    if model is not None and Path(model).is_file():
        known = model_ids(project)
        return str(model), Path(model), _dataset(project, latest_model(project) if known else None, progress)
    if model is not None and str(model) not in model_ids(project):
        mend = f"name a file, or a model: {', '.join(model_ids(project)) or 'edgeml train makes one'}"
        raise EdgemlError("no such file and no such model", where=str(model), mend=mend)
    found = latest_model(project) if model is None else find_model(project, str(model))
    return found.id, found.onnx, _dataset(project, found, progress)


def _dataset(project: Project, model: Model | None, progress: Progress) -> Dataset:
    present = prepare(project, progress=progress)
    return present if model is None else open_dataset(project, model.manifest.dataset)


def _input_name(artifact: Path, target: Target) -> str:
    if not installed(target.runtime):
        mend = f"pip install 'edgeml[{target.runtime}]', or name another target"
        raise EdgemlError(f"its runtime {target.runtime} is not installed", where=target.name, mend=mend)
    session = find_runtime(target.runtime).load(artifact, target.settings())
    try:
        return session.inputs[0].name
    finally:
        session.close()


def _by_class(
    answered: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], classes: tuple[str, ...]
) -> Iterator[ClassAccuracy]:
    for index, name in enumerate(classes):
        of_class = answered[labels == index]
        right = int((of_class == index).sum())
        wrong = of_class[of_class != index]
        most = int(np.bincount(wrong).argmax()) if len(wrong) else None
        yield ClassAccuracy(
            name=name,
            samples=len(of_class),
            right=right,
            accuracy=right / len(of_class) if len(of_class) else None,
            taken_for=None if most is None or most >= len(classes) else classes[most],
        )
