"""Evidence that can turn out badly: a manifest that lacks something, references that flag what is known."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml import evidence
from edgeml.data.dataset import Dataset
from edgeml.gates import Verdict, find_gate
from edgeml.model import Environment, Model, RunManifest
from edgeml.project import DataSection, Project
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import Reference, fit
from edgeml_targets.contract.tensors import Tensor

PROJECT = Project(root=Path("/nowhere"), name="p", scope="s", targets=("a",), data=DataSection(source="own:load"))
ENVIRONMENT = Environment(
    python="3.12", edgeml="0.1", numpy="2", torch="2.13", machine="x86_64", device="cpu", threads=1, git_commit="abc"
)
MANIFEST = RunManifest(
    id="abc123",
    made_at=0.0,
    origin="trained",
    network="own:build",
    network_sha256="12" * 32,
    dataset="0123456789abcdef",
    additions=(),
    parameters=msgspec.Raw(b'{"seed":3}'),
    environment=ENVIRONMENT,
    seed=3,
    metric="accuracy",
    epochs=(),
    best_epoch=0,
    baseline_metric=0.1,
    validation_metric=0.5,
    input=Tensor("x", "float32", (-1, 1, 16, 16)),
    output=Tensor("y", "float32", (-1, 10)),
    classes=("a", "b"),
    weights=1,
    files={},
)


def parts(**changed: object) -> dict[str, str]:
    manifest = msgspec.structs.replace(MANIFEST, **changed)
    return evidence.of_manifest(Model("abc123", Path("/nowhere"), manifest)).parts


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"network_sha256": ""}, "code"),
        ({"environment": msgspec.structs.replace(ENVIRONMENT, edgeml="")}, "code"),
        ({"seed": 4}, "seed"),
        ({"parameters": msgspec.Raw(b"{}")}, "seed"),
        ({"parameters": msgspec.Raw(b"{}")}, "parameters"),
        ({"environment": msgspec.structs.replace(ENVIRONMENT, torch="")}, "environment"),
        ({"dataset": ""}, "data"),
    ],
)
def test_a_part_that_does_not_make_it_again_is_empty(changed: dict[str, object], part: str) -> None:
    assert parts()[part] and not parts(**changed)[part]


def test_a_missing_commit_is_said_and_is_no_failure() -> None:
    assert "git commit abc" in parts()["code"]
    assert "no git commit" in parts(environment=msgspec.structs.replace(ENVIRONMENT, git_commit=""))["code"]


def world(count: int, contrast: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth images: a wave of some phase and slope, and a little noise."""
    y, x = np.mgrid[0:16, 0:16] / 16
    phase, slope = rng.uniform(0, 1, (2, count, 1, 1, 1))
    return (contrast * np.sin(6 * (x + slope * y + phase)) + rng.normal(0, 0.02, (count, 1, 16, 16))).astype(np.float32)


def judged(validation: np.ndarray, test: np.ndarray, fresh: np.ndarray, references: dict[str, Reference]) -> Verdict:
    inputs = np.concatenate([validation, test, fresh])
    ends = np.cumsum([0, len(validation), len(test), len(fresh)])
    splits = {name: np.arange(ends[i], ends[i + 1]) for i, name in enumerate(("validation", "test", "fresh"))}
    dataset = Dataset(
        version="0" * 16,
        inputs=inputs,
        labels=np.zeros(len(inputs), np.int64),
        classes=("a", "b"),
        preprocessing=Preprocessing(kind="table"),
        splits=splits,
        description=None,  # type: ignore[arg-type] -- it is not asked
    )
    model = Model("abc123", Path("/nowhere"), MANIFEST)
    indexes = splits["fresh"] if len(fresh) else splits["validation"]
    return (
        find_gate("unknown_inputs_flagged")
        .judge(evidence.of_unknown(model, references, dataset, indexes), PROJECT)
        .verdict
    )


def reference_of(samples: np.ndarray) -> Reference:
    return fit(samples, np.ones((len(samples), 1)), (-2, -1))


def test_known_inputs_are_others_than_those_that_set_the_threshold() -> None:
    rng = np.random.default_rng(0)
    validation, none = world(300, 1.0, rng), world(0, 1.0, rng)
    reference = {"a": reference_of(validation)}
    assert judged(validation, world(300, 1.0, rng), none, reference) is Verdict.PASS
    assert judged(validation, world(300, 2.0, rng), none, reference) is Verdict.FAIL
    assert judged(validation, none, none, reference) is Verdict.INSUFFICIENT


@pytest.mark.parametrize("seed", range(5))
def test_a_reference_of_sixty_fresh_samples_is_judged_by_those_of_its_own_world(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fresh = world(60, 2.0, rng)
    assert judged(world(300, 1.0, rng), world(300, 1.0, rng), fresh, {"a": reference_of(fresh)}) is Verdict.PASS


def test_one_target_whose_reference_lets_everything_through_is_found() -> None:
    rng = np.random.default_rng(0)
    validation, test = world(300, 1.0, rng), world(300, 1.0, rng)
    good = reference_of(validation)
    blind = msgspec.structs.replace(good, known=msgspec.structs.replace(good.known, threshold=1e9))
    assert judged(validation, test, world(0, 1.0, rng), {"a": good, "b": blind}) is Verdict.FAIL
