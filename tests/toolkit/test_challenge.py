"""Who judges challenger and champion: fresh samples that the champion's dataset lacks, test samples that it did not learn from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgeml.bundling import make_bundle
from edgeml.challenge import Champion, compare, judging_samples
from edgeml.data import add_labels, prepare
from edgeml.gates import Verdict
from edgeml.gates.challenger_beats_champion import judge
from edgeml.model import Model
from edgeml.project import Project, load_project
from edgeml.train.imported import import_model
from edgeml_compress import CandidateResult, TargetResult

HERE, PI = "x86_64-onnxruntime", "raspberrypi5-onnxruntime"
Digits = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def grown(root: Path, digits: Digits, count: int) -> Project:
    """The source, grown to `count` digits."""
    np.savez(root / "digits.npz", inputs=digits[0][:count], labels=digits[1][:count])
    return load_project(root)


def test_a_test_sample_that_the_champion_learned_from_does_not_judge(
    project: Project, root: Path, digits: Digits
) -> None:
    before = prepare(grown(root, digits, 400))
    after = prepare(grown(root, digits, 600))
    _, judging = judging_samples(after, before)
    learned = {c for s in ("train", "calibration", "validation") for c in before.contents_at(before.splits[s])}
    test = after.splits["test"]
    moved = [i for i, content in zip(test, after.contents_at(test), strict=True) if content in learned]
    assert moved, "the source grew and moved none: the test shows nothing"
    assert judging.tolist() == [i for i in test if i not in moved]


def test_without_the_champions_dataset_all_of_the_test_split_and_all_additions_judge(project: Project) -> None:
    before = prepare(project)
    add_labels(project, 255 - np.array(before.inputs[:40]), before.labels[:40], source="the line")
    held = prepare(project)
    add_labels(project, 254 - np.array(before.inputs[:40]), before.labels[:40], source="the line")
    after = prepare(project)
    assert [len(judging_samples(after, b)[0]) for b in (None, before, held, after)] == [24, 24, 12, 0]
    assert len(judging_samples(after, None)[1]) == len(after.splits["test"])


def classifier(file: Path, *, right: bool) -> Path:
    """An ONNX file for 8 x 8 digits: the mean of 64 pixels a class, of which one looks at the pixels and one does not."""
    import onnx

    rng = np.random.default_rng(1)
    weight = (rng.standard_normal((64, 10)) / 8 if right else np.zeros((64, 10))).astype(np.float32)
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n, 1, 8, 8] x) => (float[n, 10] y) '
        "{ f = Flatten(x) \n y = MatMul(f, w) }"
    )
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(model, file)
    return file


def packed(project: Project, model: Model, target: str) -> Path:
    """A model's bundle in float."""
    size = model.onnx.stat().st_size
    plain = CandidateResult(name="float32", artifact=str(model.onnx), size_bytes=size)
    result = TargetResult(
        target=target,
        title=target,
        runtime="onnxruntime",
        chosen="float32",
        artifact=plain.artifact,
        size_bytes=size,
        p50_us=None,
        accuracy=0.5,
        float_artifact=plain.artifact,
        float_size_bytes=size,
        float_p50_us=None,
        float_accuracy=0.5,
        cosine_min=1.0,
        notes=(),
        candidates=(plain,),
    )
    out = project.root / f"{model.id}-{target}.bundle"
    return make_bundle(project, model, prepare(project), result, out=out)


@pytest.fixture
def pair(project: Project, tmp_path: Path) -> tuple[Project, Champion, Model]:
    """A champion on a board and here, and a challenger, after 200 labels."""
    champion = import_model(project, classifier(tmp_path / "old.onnx", right=False))
    bundles = {target: packed(project, champion, target) for target in (PI, HERE)}
    before = prepare(project)
    inputs = 255 - np.array(before.inputs[:200])
    add_labels(project, inputs, before.labels[:200], source="the line")
    challenger = import_model(project, classifier(tmp_path / "new.onnx", right=True))
    return project, Champion("r1", champion.id, bundles), challenger


@pytest.mark.parametrize("targets", [(PI,), (PI, HERE)])
def test_every_shared_target_is_compared_here_a_board_too(
    pair: tuple[Project, Champion, Model], targets: tuple[str, ...]
) -> None:
    project, champion, challenger = pair
    bundles = {target: packed(project, challenger, target) for target in targets}
    found = compare(project, challenger, prepare(project), bundles, champion)
    assert [t.target for t in found.evidence.targets] == list(targets)
    assert all(t.fresh == 60 and t.test > 50 for t in found.evidence.targets)
    assert found.challenger_right is not None and len(found.challenger_right) == 60


def test_what_could_not_be_compared_is_no_pass(pair: tuple[Project, Champion, Model]) -> None:
    project, champion, challenger = pair
    only_here = {HERE: packed(project, challenger, HERE)}
    board = Champion("r1", champion.model, {PI: champion.bundles[PI]})
    found = compare(project, challenger, prepare(project), only_here, board)
    assert judge(found.evidence, project).verdict is Verdict.INSUFFICIENT
    assert (
        judge(compare(project, challenger, prepare(project), only_here, None).evidence, project).value
        == "the first model"
    )
    itself = Champion("r1", challenger.id, only_here)
    assert (
        judge(compare(project, challenger, prepare(project), only_here, itself).evidence, project).value
        == "the champion itself"
    )


def test_a_champion_whose_dataset_is_gone_is_compared_and_the_reason_says_so(
    pair: tuple[Project, Champion, Model],
) -> None:
    project, champion, challenger = pair
    bundles = {HERE: packed(project, challenger, HERE)}
    shutil.rmtree(project.workspace / "datasets" / champion.dataset)
    found = compare(project, challenger, prepare(project), bundles, champion)
    assert f"{champion.dataset} is not in the workspace" in judge(found.evidence, project).reason
