"""A bundle holds the artifact's own answers, and its reference rests on samples that were not trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml.bundling import GOLDEN_SAMPLES, make_bundle, reference_indexes, smooth_axes
from edgeml.data.dataset import Dataset
from edgeml.model import Environment, Model, RunManifest
from edgeml.project import LEAST_FRESH, DataSection, Project
from edgeml_agent.infer import load_engine
from edgeml_agent.selftest import self_test
from edgeml_targets.contract.bundle import Bundle, open_bundle
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.tensors import Tensor

TARGET = "x86_64-onnxruntime"
SIZES = {"train": 100, "validation": 150, "golden": 40, "fresh": 0}


@dataclass(frozen=True)
class Choice:
    """What compression says of a target, as far as a bundle needs it."""

    target: str
    chosen: str
    artifact: str
    accuracy: float | None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(root=tmp_path, name="tiny", scope="a test", targets=(TARGET,), data=DataSection(source="own:load"))


@pytest.fixture
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    count = sum(SIZES.values())
    ends = np.cumsum([0, *SIZES.values()])
    splits = {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(SIZES)}
    return Dataset(
        version="0123456789abcdef",
        inputs=(128 + 40 * rng.standard_normal((count, 16, 16, 3))).clip(0, 255).astype(np.uint8),
        labels=rng.integers(0, 10, count),
        classes=tuple(f"class {i}" for i in range(10)),
        preprocessing=Preprocessing(kind="image", scale=1 / 64, mean=(2.0,)),
        splits=splits,
        description=None,  # type: ignore[arg-type] -- no bundle tells it
    )


@pytest.fixture
def model(tiny_cnn: Path, dataset: Dataset) -> Model:
    manifest = RunManifest(
        id="abc123",
        made_at=0.0,
        origin="imported",
        network="tiny_cnn.onnx",
        dataset=dataset.version,
        additions=(),
        parameters=msgspec.Raw(b"{}"),
        environment=Environment(
            python="", edgeml="", numpy="", torch="", machine="", device="cpu", threads=1, git_commit=""
        ),
        seed=0,
        metric="accuracy",
        epochs=(),
        best_epoch=0,
        baseline_metric=0.1,
        validation_metric=0.5,
        input=Tensor("x", "float32", (-1, 3, 16, 16)),
        output=Tensor("logits", "float32", (-1, 10)),
        classes=dataset.classes,
        weights=1,
        files={},
    )
    return Model("abc123", tiny_cnn.parent, manifest)


@pytest.fixture
def choice(tiny_cnn: Path) -> Choice:
    return Choice(TARGET, "float32", str(tiny_cnn), 0.97)


def packed(project: Project, model: Model, dataset: Dataset, choice: Choice) -> Bundle:
    path = make_bundle(project, model, dataset, choice, out=project.root / "one.bundle")
    return open_bundle(path, project.root / "slot")


def test_a_device_can_run_it_and_answers_its_golden_samples_as_here(
    project: Project, model: Model, dataset: Dataset, choice: Choice
) -> None:
    bundle = packed(project, model, dataset, choice)
    engine = load_engine("r1", bundle)
    found = self_test(engine)
    assert (found.right, found.samples) == (GOLDEN_SAMPLES, GOLDEN_SAMPLES)
    assert found.worst < 1e-5
    manifest = bundle.manifest
    assert (manifest.model, manifest.candidate, manifest.dataset) == ("abc123", "float32", dataset.version)
    assert (manifest.settings.target, manifest.accuracy) == (TARGET, 0.97)
    assert manifest.made_at == model.manifest.made_at
    engine.close()


def test_its_reference_is_the_validation_split_as_the_artifact_answers_it(
    project: Project, model: Model, dataset: Dataset, choice: Choice
) -> None:
    bundle = packed(project, model, dataset, choice)
    reference = bundle.manifest.reference
    engine = load_engine("r1", bundle)
    rows = engine.answer(np.asarray(dataset.inputs[dataset.splits["validation"]]), where="x")
    assert reference.samples == SIZES["validation"]
    assert reference.classes == tuple(np.bincount(rows.classes, minlength=10))
    assert np.mean(rows.distances > reference.known.threshold) <= 0.05
    engine.close()


def test_the_same_input_gives_the_same_bytes(project: Project, model: Model, dataset: Dataset, choice: Choice) -> None:
    first, second = (
        make_bundle(project, model, dataset, choice, out=project.root / f"{i}.bundle").read_bytes() for i in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("held", "fresh"),
    [
        ((), {"a": 20, "b": 20, "c": 20}),  # all are new, and together they are enough
        (("a",), {"a": 9, "b": 30, "c": 20}),  # those since the champion's dataset are enough: not one more
        (("a", "b"), {"a": 50, "b": 30, "c": 20}),  # what is new is not, so the newest of before count, too
        (("a", "b", "c"), {"a": 50, "b": 50, "c": 0}),  # the champion itself
        ((), {"a": 20, "b": 20, "c": LEAST_FRESH - 41}),  # not enough at all
    ],
)
def test_the_fresh_samples_since_the_champions_dataset_are_the_reference(
    dataset: Dataset, held: tuple[str, ...], fresh: dict[str, int]
) -> None:
    """Additions a, b and c of 60 samples each begin at 10, 70 and 130; the first of each are its fresh ones."""
    starts = {"a": 10, "b": 70, "c": 130}
    of = {name: np.arange(start, start + fresh[name]) for name, start in starts.items()}
    splits = {**dataset.splits, "fresh": np.concatenate(list(of.values()))}
    added = replace(dataset, additions=("a", "b", "c"), starts=(10, 70, 130), splits=splits)
    expected = {
        (): of["a"].tolist() + of["b"].tolist() + of["c"].tolist(),
        ("a",): of["b"].tolist() + of["c"].tolist(),
        ("a", "b"): of["b"].tolist() + of["c"].tolist(),
        ("a", "b", "c"): of["b"].tolist(),
    }[held]
    if sum(fresh.values()) < LEAST_FRESH:
        expected = dataset.splits["validation"].tolist()
    assert reference_indexes(added, held).tolist() == expected


def test_without_golden_samples_there_is_no_bundle(
    project: Project, model: Model, dataset: Dataset, choice: Choice
) -> None:
    without = replace(dataset, splits={**dataset.splits, "golden": np.array([], np.int64)})
    with pytest.raises(EdgemlError, match="the golden split is empty"):
        make_bundle(project, model, without, choice, out=project.root / "one.bundle")
    assert not (project.root / "one.bundle").exists()


@pytest.mark.parametrize(
    ("layout", "shape", "axes"),
    [
        ("chw", (3, 16, 16), (-2, -1)),
        ("hwc", (16, 16, 3), (-3, -2)),
        ("chw", (1, 1, 40), (-1,)),
        ("chw", (12, 29), (-1,)),
        ("chw", (12,), ()),
    ],
)
def test_neighbours_resemble_each_other_along_space_and_time(
    layout: str, shape: tuple[int, ...], axes: tuple[int, ...]
) -> None:
    assert smooth_axes(Preprocessing(kind="image", layout=layout), shape) == axes
