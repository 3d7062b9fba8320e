"""DATA as people have it: arrays, archives, folders of images; and each way in which it can be wrong."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from edgeml import calibration_data
from edgeml.calibration_data import LEAST_SAMPLES, Data, hold_back, in_words, read_data
from edgeml_compress.source import all_alike, first_broken, hash_of
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.stored import Stored
from edgeml_targets.contract.tensors import Tensor

IMAGE = (Tensor("x", "float32", (-1, 3, 8, 8)),)
ROW = (Tensor("x", "float32", (-1, 4)),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of pictures: four red ones of 16 x 16 pixels, four green ones of 8 x 12."""
    for name, colour, size in (("red", (255, 0, 0), (16, 16)), ("green", (0, 255, 0), (12, 8))):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", size, colour).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


def saved(path: Path, array: object) -> Path:
    np.save(path, array)  # type: ignore[arg-type]
    return path


def test_an_npy_is_taken_as_it_is(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((9, 4))
    found = read_data(saved(tmp_path / "x.npy", x), ROW)
    np.testing.assert_array_equal(found.samples["x"], x.astype(np.float32))
    assert found.labels is None and found.preprocessing is None and in_words(found.preprocessing) == ""


def test_an_npz_has_an_array_an_input_and_may_have_more(tmp_path: Path) -> None:
    inputs = (Tensor("a", "float32", (1, 2)), Tensor("b", "int64", ()))
    np.savez(tmp_path / "x.npz", a=np.zeros((7, 1, 2), np.float32), b=np.arange(7), other=np.zeros(3))
    found = read_data(tmp_path / "x.npz", inputs)
    assert set(found.samples) == {"a", "b"} and found.samples["b"].dtype == np.int64


def test_a_folder_of_images_gives_samples_and_labels(folder: Path) -> None:
    found = read_data(folder, IMAGE)
    assert found.samples["x"].shape == (8, 3, 8, 8)
    np.testing.assert_array_equal(found.labels, [0, 0, 0, 0, 1, 1, 1, 1])  # folders sorted by name: green, red
    np.testing.assert_allclose(found.samples["x"][0, :, 0, 0], [0, 1, 0], atol=1e-6)
    assert in_words(found.preprocessing) == "RGB, 8 x 8 pixels, times 0.003922, chw"


def test_channels_last_and_grey_follow_from_the_inputs_shape(folder: Path) -> None:
    found = read_data(folder, (Tensor("x", "float32", (-1, 5, 6, 1)),))
    assert found.samples["x"].shape == (8, 5, 6, 1)
    assert found.samples["x"][0, 0, 0, 0] == pytest.approx(150 / 255)  # green, by BT.601, rounded


def test_a_preprocess_file_says_otherwise(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(
        'size = [8, 8]\nscale = 1.0\nmean = [0, 255, 0]\nstd = [1, 5, 1]\ncolour = "bgr"\n'
    )
    found = read_data(folder, IMAGE, preprocess=tmp_path / "p.toml")
    np.testing.assert_allclose(found.samples["x"][0, :, 0, 0], [0, 0, 0], atol=1e-4)
    assert in_words(found.preprocessing) == "BGR, 8 x 8 pixels, times 1, minus 0, 255, 0, over 1, 5, 1, chw"


def test_uint8_arrays_of_images_are_preprocessed_where_that_is_asked(tmp_path: Path) -> None:
    pixels = np.full((6, 8, 8, 3), 51, np.uint8)
    (tmp_path / "p.toml").write_text("size = [8, 8]\n")
    found = read_data(saved(tmp_path / "x.npy", pixels), IMAGE, preprocess=tmp_path / "p.toml")
    assert found.samples["x"].shape == (6, 3, 8, 8) and found.samples["x"].max() == pytest.approx(0.2)


def test_one_folder_alone_gives_no_labels(folder: Path) -> None:
    for picture in (folder / "red").iterdir():
        picture.rename(folder / "green" / f"r{picture.name}")
    assert read_data(folder, IMAGE).labels is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 5), np.float32), r"samples of shape \[5\] do not fit input x \(any, 4\)"),
        (np.zeros((0, 4), np.float32), f"0 samples, {LEAST_SAMPLES} are the least"),
        (np.full((8, 4), np.nan, np.float32), "sample 0 of x holds a value that is not finite"),
        (np.zeros((8, 4), np.complex64), "samples of complex64 do not fit input x of float32"),
        (np.float32(1.0), "samples of shape"),
    ],
)
def test_wrong_samples_are_named_with_their_file(array: np.ndarray, message: str, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=rf"x\.npy: {message}"):
        read_data(saved(tmp_path / "x.npy", array), ROW)


@pytest.mark.parametrize(
    ("shape", "wanted", "said"),
    [
        ((8, 8, 3), (-1, 3, 8, 8), r"numpy\.moveaxis\(samples, -1, -3\)"),
        ((1, 8, 8, 3), (1, 3, 8, 8), r"numpy\.moveaxis\(samples, -1, -3\)"),
        ((3, 8, 6), (-1, 8, 6, 3), r"numpy\.moveaxis\(samples, -3, -1\)"),
        ((3, 8, 8), (8, 3, 8, 8), "takes 8 samples at once.*; export the model with a free batch or a batch of 1"),
        ((1, 3, 8, 8), (8, 3, 8, 8), "takes 8 samples at once"),
        ((5, 5, 5), (-1, 3, 8, 8), "give samples of the model's shape"),
    ],
)
def test_a_shape_that_does_not_fit_is_answered_with_what_would(
    shape: tuple[int, ...], wanted: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgemlError, match=said):
        read_data(saved(tmp_path / "x.npy", np.zeros((9, *shape), np.float32)), (Tensor("x", "float32", wanted),))


def test_the_way_out_that_is_told_for_channels_last_fits(tmp_path: Path) -> None:
    samples = np.moveaxis(np.zeros((9, 8, 8, 3), np.float32), -1, -3)
    assert read_data(saved(tmp_path / "x.npy", samples), IMAGE).samples["x"].shape == (9, 3, 8, 8)


def test_floats_are_not_taken_for_integers(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="samples of float64 do not fit input x of int64"):
        read_data(saved(tmp_path / "x.npy", np.zeros((8, 4))), (Tensor("x", "int64", (-1, 4)),))


@pytest.mark.parametrize("content", [b"", b"not an array", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00 cut off"])
def test_a_file_that_is_no_array_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(EdgemlError, match=r"x\.npy: (neither NPY nor NPZ|cannot be read)"):
        read_data(tmp_path / "x.npy", ROW)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"none\.npy: no such file"):
        read_data(tmp_path / "none.npy", ROW)


def test_an_npz_without_an_input_names_it_and_what_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", y=np.zeros((8, 4)))
    with pytest.raises(EdgemlError, match=r"x\.npz: no array x, there are y"):
        read_data(tmp_path / "x.npz", ROW)


def test_inputs_with_different_numbers_of_samples_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros((8, 4), np.float32), b=np.zeros((7, 4), np.float32))
    inputs = (Tensor("a", "float32", (-1, 4)), Tensor("b", "float32", (-1, 4)))
    with pytest.raises(EdgemlError, match="8 samples of a, 7 samples of b"):
        read_data(tmp_path / "x.npz", inputs)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(8, np.int64), "of one class only"),
        (np.arange(7), "7 labels for 8 samples"),
        (np.linspace(0, 1, 8), "labels are integers"),
        (np.zeros((8, 2), np.int64), "labels are integers"),
    ],
)
def test_wrong_labels_are_named_with_their_file(labels: np.ndarray, message: str, tmp_path: Path) -> None:
    x = saved(tmp_path / "x.npy", np.zeros((8, 4), np.float32))
    with pytest.raises(EdgemlError, match=rf"y\.npy: .*{message}"):
        read_data(x, ROW, labels=saved(tmp_path / "y.npy", labels))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = 3", "size: Input should be"),
        ("sise = [8, 8]", "sise: Extra inputs are not permitted; known keys: size"),
        ("size = [8", "cannot be read"),
        ("std = [0.0]", r"std\.0"),
    ],
)
def test_a_wrong_preprocess_file_is_named_with_its_key(text: str, message: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(EdgemlError, match=rf"p\.toml: {message}"):
        read_data(folder, IMAGE, preprocess=tmp_path / "p.toml")


def test_images_for_a_model_of_rows_are_refused(folder: Path) -> None:
    with pytest.raises(EdgemlError, match=r"images, and the model takes x \[-1, 4\]"):
        read_data(folder, ROW)


def test_images_of_any_size_need_one(folder: Path) -> None:
    with pytest.raises(EdgemlError, match=r"images of any size; say which: --preprocess"):
        read_data(folder, (Tensor("x", "float32", (-1, 3, -1, -1)),))


@given(st.integers(LEAST_SAMPLES, 300), st.integers(0, 5))
def test_every_sample_is_for_one_thing_and_a_third_is_held_back(count: int, seed: int) -> None:
    shares = hold_back(count, seed=seed)
    together = np.concatenate([shares.ranges, shares.validation, shares.evaluation])
    np.testing.assert_array_equal(np.sort(together), np.arange(count))
    assert len(shares.evaluation) == count // 3
    assert len(shares.validation) >= 1 and len(shares.ranges) >= 1


@given(arrays(np.int64, st.integers(LEAST_SAMPLES, 200), elements=st.integers(0, 4)))
def test_each_class_gives_its_third_within_one_sample(labels: np.ndarray) -> None:
    held = np.bincount(labels[hold_back(len(labels), labels).evaluation], minlength=5)
    assert (np.abs(held - np.bincount(labels, minlength=5) / 3) <= 1).all()


def read_as(kind: str, folder: Path, place: Path) -> Data:
    """Read eight images as one of the kinds of DATA."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    (place / "p.toml").write_text("scale = 0.5\nmean = [1, 2, 3]\n")
    if kind == "images":
        return read_data(folder, IMAGE)
    if kind == "npz":
        np.savez_compressed(place / "x.npz", x=pixels.transpose(0, 3, 1, 2), y=pixels)
        return read_data(place / "x.npz", IMAGE)
    if kind == "preprocessed":
        return read_data(saved(place / "x.npy", pixels), IMAGE, preprocess=place / "p.toml")
    dtype = {"npy": "float32", "cast": "float64", "swapped": ">f4"}[kind]
    return read_data(saved(place / "x.npy", pixels.transpose(0, 3, 1, 2).copy().astype(dtype)), IMAGE)


@pytest.mark.parametrize("kind", ["npy", "cast", "swapped", "npz", "preprocessed", "images"])
def test_what_is_large_stays_on_the_disk_and_is_the_same(
    kind: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read_as(kind, folder, tmp_path)
    monkeypatch.setattr(calibration_data, "MOST_HELD_BYTES", 0)
    stored = read_as(kind, folder, tmp_path)
    assert isinstance(held.samples["x"], np.ndarray) and isinstance(stored.samples["x"], Stored)
    assert held.samples["x"].dtype == stored.samples["x"].dtype == np.float32
    rows = np.array([1, 2, 5])
    for first, second in ((held.samples, stored.samples), (held.part(rows), stored.part(rows))):
        np.testing.assert_array_equal(np.asarray(second["x"]), np.asarray(first["x"]))
        assert hash_of(second) == hash_of(first) and all_alike(second) == all_alike(first)
    assert isinstance(stored.part(rows)["x"], Stored)


def test_a_value_that_is_not_finite_is_found_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_data, "MOST_HELD_BYTES", 0)
    x = np.zeros((9, 4), np.float32)
    x[7, 1] = np.inf
    with pytest.raises(EdgemlError, match="sample 7 of x holds a value that is not finite"):
        read_data(saved(tmp_path / "x.npy", x), ROW)
    x[7, 1] = 0
    assert first_broken(read_data(saved(tmp_path / "x.npy", x), ROW).samples["x"]) is None


def test_an_npy_that_ends_early_or_is_in_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_data, "MOST_HELD_BYTES", 0)
    x = np.arange(36, dtype=np.float32).reshape(9, 4)
    found = read_data(saved(tmp_path / "f.npy", np.asfortranarray(x)), ROW)
    np.testing.assert_array_equal(found.samples["x"], x)
    content = saved(tmp_path / "x.npy", x).read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-1])
    with pytest.raises(EdgemlError, match=r"cannot be read: it ends before the last sample"):
        read_data(tmp_path / "x.npy", ROW)


def packed(kind: str, path: Path) -> Path:
    """Write an NPZ that is broken in one way."""
    member = io.BytesIO()
    np.save(member, np.zeros((9, 4), np.float32))
    content = b"no array" if kind == "no array" else member.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    raw = bytearray(path.read_bytes())
    if kind == "damaged":
        raw[40:60] = bytes(20)
    elif kind in ("encrypted", "unknown method"):
        place = 6 if kind == "encrypted" else 8
        for head, at in ((b"PK\x03\x04", place), (b"PK\x01\x02", place + 2)):
            raw[raw.index(head) + at] = 1 if kind == "encrypted" else 97
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("most", [0, 1 << 20])
@pytest.mark.parametrize("kind", ["no array", "damaged", "encrypted", "unknown method"])
def test_a_broken_npz_is_named(kind: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_data, "MOST_HELD_BYTES", most)
    with pytest.raises(EdgemlError, match=r"x\.npz: cannot be read"):
        read_data(packed(kind, tmp_path / "x.npz"), ROW)


def test_samples_that_hold_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"there are none: samples of shape \[0\] hold no value"):
        read_data(saved(tmp_path / "x.npy", np.zeros((9, 0), np.float32)), ROW)
