from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeml.data.sources import Raw, read_source
from edgeml.data.sources.mnist import mnist_5k
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError


def read(root: Path, source: str, **section: Any) -> tuple[np.ndarray, Raw]:
    raw = read_source(DataSection(source=source, **section), root)
    return np.concatenate(list(raw.batches)), raw


def write_image(file: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)


def test_a_folder_of_images_has_a_class_a_folder_sorted_by_name(tmp_path: Path) -> None:
    for i, name in enumerate(["b/2.png", "a/9.png", "b/sub/1.png", "a/10.png", ".hidden/x.png"]):
        write_image(tmp_path / name, np.full((4, 6, 3), 10 * i))
    (tmp_path / "a" / "notes.txt").write_text("no image")
    inputs, raw = read(tmp_path, ".")
    assert raw.classes == ("a", "b") and raw.labels.tolist() == [0, 0, 1, 1]
    assert inputs.shape == (4, 4, 6, 3) and inputs[:, 0, 0, 0].tolist() == [30, 10, 0, 20]
    assert raw.place(0).endswith("a/10.png")


def test_images_are_brought_to_the_size_and_colour_that_the_project_names(tmp_path: Path) -> None:
    for name, shape in [("a/1.png", (4, 6, 3)), ("b/1.png", (9, 3))]:
        write_image(tmp_path / name, np.full(shape, 100))
    inputs, raw = read(tmp_path, ".", size=(5, 5), colour="grey")
    assert inputs.shape == (2, 5, 5, 1) and inputs.dtype == np.uint8 and (inputs == 100).all()
    assert raw.preprocessing.scale == pytest.approx(1 / 255)


def test_images_of_two_sizes_need_a_size(tmp_path: Path) -> None:
    write_image(tmp_path / "a/1.png", np.zeros((4, 6, 3)))
    write_image(tmp_path / "b/1.png", np.zeros((4, 7, 3)))
    with pytest.raises(EdgemlError, match=r"b/1\.png: 4 x 7 pixels, the first one has 4 x 6; give \[data\] a size"):
        read(tmp_path, ".")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_damaged_image_is_named(content: bytes, tmp_path: Path) -> None:
    write_image(tmp_path / "a/1.png", np.zeros((4, 4, 3)))
    (tmp_path / "a" / "2.png").write_bytes(content)
    with pytest.raises(EdgemlError, match=r"a/2\.png: no image that can be read"):
        read(tmp_path, ".")


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(EdgemlError, match="no folder in it holds an image"):
        read(tmp_path, ".")


def test_an_npz_of_floats_goes_in_as_it_is(tmp_path: Path) -> None:
    series = np.random.default_rng(0).normal(size=(6, 2, 9)).astype(np.float32)
    np.savez(tmp_path / "s.npz", inputs=series, labels=np.array([3, 1, 3, 1, 3, 1]))
    inputs, raw = read(tmp_path, "s.npz")
    assert (inputs == series).all() and raw.classes == ("1", "3") and raw.labels.tolist() == [1, 0, 1, 0, 1, 0]
    assert raw.preprocessing.kind == "array" and raw.own_scale


def test_an_npz_of_bytes_is_of_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "i.npz", inputs=np.zeros((4, 5, 5), np.uint8), labels=[0, 1, 0, 1], classes=["no", "yes"])
    inputs, raw = read(tmp_path, "i.npz", colour="grey")
    assert inputs.shape == (4, 5, 5, 1) and raw.classes == ("no", "yes") and raw.preprocessing.kind == "image"


FAULTY_NPZ = [
    ({"labels": np.zeros(3, int)}, "no array 'inputs', only labels"),
    ({"inputs": np.zeros((3, 2)), "labels": np.zeros(2, int)}, r"3 inputs, but labels of shape \(2,\)"),
    ({"inputs": np.zeros((3, 2)), "labels": np.zeros(3)}, "labels are float64"),
    ({"inputs": np.array([["a"]]), "labels": np.zeros(1, int)}, "inputs are <U1"),
    ({"inputs": np.zeros((2, 2)), "labels": np.array([0, 5]), "classes": np.array(["a", "b"])}, "label 5, but 2"),
]


@pytest.mark.parametrize(("arrays", "said"), FAULTY_NPZ, ids=[said[:16] for _, said in FAULTY_NPZ])
def test_a_faulty_npz_is_told(arrays: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(EdgemlError, match=said):
        read(tmp_path, "f.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut"])
def test_what_is_no_npz_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(EdgemlError, match=r"f\.npz: no arrays that can be read"):
        read(tmp_path, "f.npz")


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", inputs=np.array([{}], object), labels=np.zeros(1, int))
    with pytest.raises(EdgemlError, match="no arrays that can be read"):
        read(tmp_path, "f.npz")


def test_a_table_has_numbers_and_a_column_with_the_class(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\ufeffwidth,kind,height\n1.5,cat,2\n\n3,dog,-4e1\n")
    inputs, raw = read(tmp_path, "t.csv", label_column="kind")
    assert inputs.tolist() == [[1.5, 2.0], [3.0, -40.0]] and raw.columns == ("width", "height")
    assert raw.classes == ("cat", "dog") and raw.labels.tolist() == [0, 1] and raw.place(1).endswith("line 4")


def test_integer_classes_sort_by_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,10\n1,9\n1,-1\n")
    _, raw = read(tmp_path, "t.csv")
    assert raw.classes == ("-1", "9", "10") and raw.labels.tolist() == [2, 1, 0]


FAULTY_TABLES = [
    ('w,k\n1,a\n"12,5",b\n', r"line 3: column w: '12,5' is no number; use a point"),
    ("w,k\nred,a\n", "line 2: column w: 'red' is no number; encode it as a number"),
    ("w,k\n,a\n", "line 2: column w: empty"),
    ("w,k\n1,a,b\n", "line 2: 3 cells, the header has 2"),
    ("w\n1\n", "fewer than 2 columns"),
    ("", "fewer than 2 columns"),
    ('w,k\n"1,a\n', "no table that can be read"),
]


@pytest.mark.parametrize(("text", "said"), FAULTY_TABLES, ids=[said[:24] for _, said in FAULTY_TABLES])
def test_a_faulty_table_is_told_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(EdgemlError, match=said):
        read(tmp_path, "t.csv")


def test_a_missing_label_column_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("w,k\n1,a\n")
    with pytest.raises(EdgemlError, match="no column 'kind'; set label_column to one of w, k"):
        read(tmp_path, "t.csv", label_column="kind")


OWN = "import numpy as np\ndef load():\n    return {}\n"


def test_the_users_own_function_is_called(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(OWN.format("np.ones((4, 3)), [0, 1, 0, 1], ['no', 'yes']"))
    inputs, raw = read(tmp_path, "random:load")  # its name is one of Python's, which must stay what it is
    import random

    assert inputs.tolist() == np.ones((4, 3)).tolist() and raw.classes == ("no", "yes") and random.random() < 1


FAULTY_OWN = [
    (OWN.format("1"), "own:load: returned a int; return"),
    (OWN.format("1 / 0"), r"own:load: raised ZeroDivisionError: division by zero \(own.py, line 3\)"),
    ("import nothing_of_that_name", "raised ModuleNotFoundError"),
    ("def other(): pass", "no function load in own"),
    ("def load(:", "raised SyntaxError"),
]


@pytest.mark.parametrize(("code", "said"), FAULTY_OWN, ids=[said[-24:] for _, said in FAULTY_OWN])
def test_a_fault_in_the_users_own_function_is_told(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(EdgemlError, match=said):
        read(tmp_path, "own:load")


def test_mnist_is_read_from_the_cache_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, labels = mnist_5k()
    again, _ = mnist_5k()
    assert images.shape == (5000, 28, 28) and images.dtype == np.uint8 and (images == again).all()
    assert np.bincount(labels).tolist() == [500] * 10
    assert [f.name for f in tmp_path.rglob("*.npy")] == ["mnist-5k.npy"]


@pytest.mark.parametrize(
    ("source", "said"), [("nowhere", "no such file or folder"), ("t.txt", "no source reads this form")]
)
def test_a_source_that_is_none_is_told(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(EdgemlError, match=said):
        read(tmp_path, source)
