from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeml.data import add_labels, count_labels_since, prepare
from edgeml.data.additions import LIST, add_from, read_additions
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError


def fresh(project: Project, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    dataset = prepare(project)
    return 255 - np.array(dataset.inputs[:count]), dataset.labels[:count]


def test_an_addition_says_what_it_brought(project: Project) -> None:
    inputs, labels = fresh(project)
    addition = add_labels(project, inputs, labels, source="camera 3")
    assert addition.samples == 40 and addition.source == "camera 3"
    assert addition.classes == {str(c): int(n) for c, n in enumerate(np.bincount(labels))}
    assert read_additions(project) == [addition]


def test_adding_the_same_twice_changes_nothing(project: Project) -> None:
    first = add_labels(project, *fresh(project), source="a")
    second = add_labels(project, *fresh(project), source="b")
    assert first == second and len(read_additions(project)) == 1


def test_what_the_dataset_knows_is_left_out_of_it(project: Project) -> None:
    inputs, labels = fresh(project)
    known = np.array(prepare(project).inputs[:5])
    add_labels(
        project,
        np.concatenate([inputs, inputs[:3], known]),
        np.concatenate([labels, labels[:3], labels[:5]]),
        source="a",
    )
    dataset = prepare(project)
    assert len(dataset.added_since(())) == 40 and dataset.description.added == 40 and dataset.description.known == 8


def test_a_corrected_label_of_a_known_sample_is_counted_and_the_old_one_stands(project: Project) -> None:
    dataset = prepare(project)
    inputs, labels = fresh(project, 2)
    known, right = np.array(dataset.inputs[:3]), dataset.labels[:3]
    wrong = np.array([right[0], (right[1] + 1) % 10, (right[2] + 1) % 10])
    addition = add_labels(project, np.concatenate([inputs, known]), np.concatenate([labels, wrong]), source="a")
    assert (addition.known, addition.relabelled) == (3, 2)
    assert count_labels_since(project, dataset.version) == 2
    assert (prepare(project).labels[:3] == right).all()


def test_labels_since_a_dataset_are_counted(project: Project) -> None:
    base = prepare(project).version
    assert count_labels_since(project, base) == 0
    add_labels(project, *fresh(project), source="a")
    assert count_labels_since(project, base) == 40
    assert count_labels_since(project, prepare(project).version) == 0
    assert count_labels_since(project, "a version that is not here") == 40


def test_labels_outlive_the_workspace(project: Project) -> None:
    import shutil

    add_labels(project, *fresh(project), source="a")
    version = prepare(project).version
    shutil.rmtree(project.workspace)
    assert prepare(project).version == version


@pytest.mark.parametrize("kind", [str, int])
def test_classes_are_given_by_name_or_by_index(kind: type, make_project: Any, root: Path, digits: Any) -> None:
    images, labels = digits
    np.savez(root / "d.npz", inputs=images, labels=labels % 2, classes=["even", "odd"])
    project = make_project("d.npz", data='colour = "grey"')
    given = np.array(["odd", "even"]) if kind is str else np.array([1, 0])
    addition = add_labels(project, 255 - images[:2], given, source="a")
    assert addition.classes == {"odd": 1, "even": 1}
    assert prepare(project).labels[-2:].tolist() == [1, 0]


def test_integers_name_classes_whose_names_are_integers(make_project: Any, root: Path, digits: Any) -> None:
    images, labels = digits
    np.savez(root / "d.npz", inputs=images, labels=labels + 1)  # classes 1 to 10: an index would be one off
    project = make_project("d.npz", data='colour = "grey"')
    assert add_labels(project, 255 - images[:1], np.array([10]), source="a").classes == {"10": 1}
    with pytest.raises(EdgemlError, match="no such class: 0"):
        add_labels(project, 255 - images[:1], np.array([0]), source="a")


def test_images_are_brought_to_the_datasets_form(project: Project) -> None:
    add_labels(project, np.full((1, 8, 8, 3), 200, np.uint8), np.array([3]), source="colour")
    add_labels(project, np.full((1, 8, 8), 100, np.uint8), np.array([3]), source="no channel axis")
    assert prepare(project).inputs[-2:, 0, 0, 0].tolist() == [200, 100]


FAULTY: list[tuple[Any, Any, str]] = [
    (np.zeros((2, 9, 9, 1), np.uint8), [0, 1], r"samples are uint8 \(9, 9, 1\), the dataset's uint8 \(8, 8, 1\)"),
    (np.zeros((2, 8, 8, 1), np.float32), [0, 1], "samples are float32"),
    (np.zeros((0, 8, 8, 1), np.uint8), [], "inputs of shape"),
    (np.zeros((2, 8, 8, 1), np.uint8), [0], "2 samples, 1 labels"),
    (np.zeros((1, 8, 8, 1), np.uint8), [12], "no such class: 12"),
    (np.zeros((1, 8, 8, 1), np.uint8), [[1]], "labels of shape"),
    (np.full((1, 8, 8, 1), 256, np.int64), [1], "a value does not fit uint8"),
]


@pytest.mark.parametrize(("inputs", "labels", "said"), FAULTY, ids=[said[:18] for _, _, said in FAULTY])
def test_what_does_not_fit_is_told_and_not_kept(inputs: Any, labels: Any, said: str, project: Project) -> None:
    with pytest.raises(EdgemlError, match=f"camera.*{said}"):
        add_labels(project, inputs, np.array(labels, int), source="camera")
    assert not project.labels.exists() or not list(project.labels.glob("*.*"))


def test_files_of_every_form_can_be_added(project: Project, tmp_path: Path) -> None:
    from PIL import Image

    np.savez(tmp_path / "a.npz", inputs=np.full((1, 8, 8), 1, np.uint8), labels=[7])
    np.save(tmp_path / "b.npy", np.full((1, 8, 8), 2, np.uint8))
    np.save(tmp_path / "b-labels.npy", np.array([7]))
    (tmp_path / "c" / "7").mkdir(parents=True)
    Image.fromarray(np.full((8, 8), 3, np.uint8)).save(tmp_path / "c" / "7" / "one.png")
    for path, labels in [("a.npz", None), ("b.npy", "b-labels.npy"), ("c", None)]:
        assert add_from(project, tmp_path / path, labels and tmp_path / labels).classes == {"7": 1}
    assert prepare(project).inputs[-3:, 0, 0, 0].tolist() == [1, 2, 3]
    with pytest.raises(EdgemlError, match=r"b\.npy: no labels; give --labels"):
        add_from(project, tmp_path / "b.npy")


def test_a_file_that_is_not_there_is_told_with_the_nearest_name(project: Project, tmp_path: Path) -> None:
    (tmp_path / "fresh.npz").touch()
    for missing, labels, mend in [
        ("frsh.npz", None, f"did you mean {tmp_path / 'fresh.npz'}?"),
        ("fresh.npz", "labels.npy", "check the path"),
        ("elsewhere/fresh.npz", None, "check the path"),
    ]:
        with pytest.raises(EdgemlError) as caught:
            add_from(project, tmp_path / missing, labels and tmp_path / labels)
        assert str(caught.value) == f"{tmp_path / (labels or missing)}: no such file or folder; {mend}"


def test_an_addition_whose_file_is_gone_is_told(project: Project) -> None:
    addition = add_labels(project, *fresh(project), source="a")
    (project.labels / f"{addition.id}.npz").unlink()
    with pytest.raises(EdgemlError, match=f"{addition.id}.npz: no such file"):
        prepare(project)


def test_a_damaged_list_is_told_with_its_line(project: Project) -> None:
    add_labels(project, *fresh(project), source="a")
    with (project.labels / LIST).open("a") as file:
        file.write("half a li")
    with pytest.raises(EdgemlError, match="line 2: no addition"):
        read_additions(project)


def test_two_processes_that_add_at_once_lose_nothing(project: Project) -> None:
    script = (
        "import sys, numpy as np; from pathlib import Path; from edgeml.project import load_project\n"
        "from edgeml.data import add_labels; project = load_project(Path(sys.argv[1]))\n"
        "for i in range(5):\n"
        "    add_labels(project, np.full((1, 8, 8), 20 * int(sys.argv[2]) + i, np.uint8), np.array([1]), source='x')\n"
    )
    prepare(project)
    command = [sys.executable, "-c", script, str(project.root)]
    started = [subprocess.Popen([*command, str(i)]) for i in (1, 2, 3)]
    assert [p.wait(60) for p in started] == [0, 0, 0]
    assert len(read_additions(project)) == 15
