from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeml.data import accept, add_labels, open_dataset, prepare
from edgeml.data.splits import SPLITS
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError

Arrays = tuple[np.ndarray, np.ndarray]


def test_every_sample_is_in_one_split_and_the_description_counts_them(project: Project) -> None:
    dataset = prepare(project)
    everywhere = np.concatenate([dataset.splits[name] for name in SPLITS])
    assert np.sort(everywhere).tolist() == list(range(600))
    description = dataset.description
    assert (
        description.samples == 600 and description.shape == (8, 8, 1) and (description.low, description.high) == (0, 16)
    )
    assert description.mean == pytest.approx(dataset.inputs.mean())
    for name, indexes in dataset.splits.items():
        assert description.splits[name] == tuple(np.bincount(dataset.labels[indexes], minlength=10))
    assert description.straddling == 0 and all(check.holds for check in description.checks)


def test_samples_get_ready_as_a_device_makes_them_ready(project: Project) -> None:
    dataset = prepare(project)
    inputs, labels = dataset.ready("validation")
    assert inputs.dtype == np.float32 and inputs.shape[1:] == dataset.input_shape == (1, 8, 8)
    assert (labels == dataset.labels[dataset.splits["validation"]]).all()
    for ready, index in zip(inputs, dataset.splits["validation"], strict=True):
        assert (ready == dataset.preprocessing(dataset.inputs[index])).all()


def test_the_same_content_has_the_same_version_whatever_its_source(
    project: Project, make_project: Any, digits: Arrays
) -> None:
    version = prepare(project).version
    code = f"import numpy as np\ndef load():\n    a = np.load({str(project.root / 'digits.npz')!r})\n"
    code += "    return a['inputs'], a['labels'], [str(i) for i in range(10)]\n"
    (project.root / "own.py").write_text(code)
    assert prepare(make_project("own:load", data='colour = "grey"')).version == version


def test_other_labels_shares_or_samples_make_another_version(
    project: Project, make_project: Any, digits: Arrays
) -> None:
    images, labels = digits
    versions = {prepare(project).version}
    versions.add(prepare(make_project("digits.npz", data='colour = "grey"\nseed = 1')).version)
    np.savez(project.root / "digits.npz", inputs=images, labels=np.roll(labels, 1))
    versions.add(prepare(project).version)
    np.savez(project.root / "digits.npz", inputs=images[1:], labels=labels[1:])
    versions.add(prepare(project).version)
    assert len(versions) == 4


def test_the_workspace_can_be_deleted_and_is_built_again(project: Project) -> None:
    before = prepare(project)
    shutil.rmtree(project.workspace)
    after = prepare(project)
    assert after.version == before.version and (after.inputs == before.inputs).all()


def test_a_cut_file_of_the_workspace_is_built_again(project: Project) -> None:
    version = prepare(project).version
    file = project.workspace / "datasets" / version / "inputs.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    with pytest.raises(EdgemlError, match="damaged; delete the folder"):
        open_dataset(project, version)
    shutil.rmtree(file.parent)
    assert prepare(project).version == version and file.read_bytes() == whole


def test_numbers_are_scaled_by_the_train_split_alone(make_project: Any, root: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal([5, -300], [2, 70], size=(400, 2)).astype(np.float32)
    np.savez(root / "rows.npz", inputs=rows, labels=rng.integers(0, 2, 400))
    dataset = prepare(make_project("rows.npz"))
    train = rows[dataset.splits["train"]]
    assert dataset.preprocessing.mean == pytest.approx(train.mean(0, dtype=float), rel=1e-5)
    ready, _ = dataset.ready("train")
    assert np.abs(ready.mean(0)).max() < 1e-4 and np.abs(ready.std(0) - 1).max() < 1e-4
    assert [c.name for c in dataset.description.ranges] == ["column 0", "column 1"]


def test_a_column_that_is_always_the_same_divides_by_nothing(make_project: Any, root: Path) -> None:
    rows = np.column_stack([np.full(60, 7.0), np.arange(60.0)])
    np.savez(root / "rows.npz", inputs=rows, labels=np.arange(60) % 2)
    ready, _ = prepare(make_project("rows.npz")).ready("train")
    assert np.isfinite(ready).all() and (ready[:, 0] == 0).all()


def test_copies_of_a_sample_share_its_split(make_project: Any, root: Path, digits: Arrays) -> None:
    images, labels = digits
    np.savez(root / "d.npz", inputs=np.concatenate([images, images[:90]]), labels=np.concatenate([labels, labels[:90]]))
    dataset = prepare(make_project("d.npz", data='colour = "grey"'))
    split_of = {int(i): name for name, indexes in dataset.splits.items() for i in indexes}
    assert all(split_of[i] == split_of[600 + i] for i in range(90))
    assert dataset.description.duplicates == 90 and dataset.description.straddling == 0


FAULTY: list[tuple[Any, Any, str]] = [
    (np.full((40, 3), np.nan), np.arange(40) % 2, r"rows\.npz, sample 0: a value is NaN or infinite"),
    (np.r_[np.zeros((39, 3)), [[0, np.inf, 0]]], np.arange(40) % 2, r"rows\.npz, sample 39: a value is NaN"),
    (np.zeros((40, 3)), np.zeros(40, int), r"rows\.npz: one class only \(0\); a classifier needs"),
    (np.zeros((0, 3)), np.zeros(0, int), r"rows\.npz: holds no samples; a classifier needs"),
    (np.zeros((40, 0)), np.arange(40) % 2, r"rows\.npz: holds no samples"),
]


@pytest.mark.parametrize(
    ("inputs", "labels", "said"), FAULTY, ids=["nan", "infinite", "one class", "no rows", "no columns"]
)
def test_faulty_data_is_told_and_leaves_nothing_behind(
    inputs: Any, labels: Any, said: str, make_project: Any, root: Path
) -> None:
    np.savez(root / "rows.npz", inputs=inputs, labels=labels)
    project = make_project("rows.npz")
    with pytest.raises(EdgemlError, match=said):
        prepare(project)
    left = [f.name for f in root.rglob("*") if f.is_file()]
    assert sorted(left) == ["edgeml.toml", "rows.npz"] and not (root / "lifecycle").exists()


def test_a_table_without_rows_is_told(make_project: Any, root: Path) -> None:
    (root / "t.csv").write_text("x,y\n")
    with pytest.raises(EdgemlError, match=r"t\.csv: holds no samples"):
        prepare(make_project("t.csv"))


def test_a_workspace_that_cannot_be_written_to_is_told(project: Project) -> None:
    project.workspace.write_text("a file where the folder should be")
    with pytest.raises(EdgemlError, match=r"\.edgeml/datasets: cannot be written: .*; make its folder writable"):
        prepare(project)


def test_data_that_changed_is_held_against_what_was_recorded(project: Project, digits: Arrays) -> None:
    prepare(project)
    images, labels = digits
    most_ones = np.flatnonzero((labels == 1) | (np.arange(600) % 10 == 0))
    np.savez(project.root / "digits.npz", inputs=images[most_ones], labels=labels[most_ones])
    dataset = prepare(project)
    failed = {c.name for c in dataset.description.checks if not c.holds}
    assert failed == {"samples a class", "class balance"}
    failed = {c.name for c in accept(project, dataset).description.checks if not c.holds}
    assert failed == {"samples a class"}  # what the project file asks for is not recorded, it is asked for
    assert {c.name for c in prepare(project).description.checks if not c.holds} == failed


def test_what_was_added_moves_nothing_that_was_there(project: Project) -> None:
    before = prepare(project)
    fresh = 255 - np.array(before.inputs[:100])
    addition = add_labels(project, fresh, before.labels[:100], source="the line")
    after = prepare(project)
    added = after.added_since(())
    assert added.tolist() == list(range(600, 700)) and after.additions == (addition.id,)
    for name in SPLITS:
        old = after.splits[name][after.splits[name] < 600]
        assert set(old.tolist()) == set(before.splits[name].tolist())
    places = {name: len(np.intersect1d(after.splits[name], added)) for name in SPLITS}
    assert places["validation"] == places["test"] == places["golden"] == places["live"] == 0
    assert places["fresh"] == 30 and places["train"] + places["calibration"] == 70
    assert (after.inputs[600:] == fresh).all() and (after.labels[600:] == before.labels[:100]).all()


def test_what_came_since_a_dataset_are_all_additions_that_it_does_not_hold(project: Project) -> None:
    before = prepare(project)
    held: list[tuple[str, ...]] = [()]
    for flip in (255, 254, 253):
        add_labels(project, flip - np.array(before.inputs[:40]), before.labels[:40], source="the line")
        held.append(prepare(project).additions)
    last = prepare(project)
    assert [last.added_since(h).tolist() for h in held] == [list(range(600 + 40 * i, 720)) for i in range(4)]
