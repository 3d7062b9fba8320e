"""What comes in is hostile: an array, or one error, and never more memory than the bytes at hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeml_agent.samples import read_sample, split_stack
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing

IMAGE, ARRAY = Preprocessing(kind="image"), Preprocessing(kind="array")


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, content: bytes = b"") -> bytes:
    padded = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + content


numbers = st.one_of(hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes())


@given(hnp.arrays(numbers, hnp.array_shapes(min_dims=0, max_dims=4, max_side=5)), st.booleans())
def test_what_numpy_saved_is_read_to_the_bit(array: np.ndarray, fortran: bool) -> None:
    if fortran:
        array = np.asfortranarray(array)
    read = read_sample(saved(array), where="x")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4)), st.data())
def test_a_file_that_is_cut_off_or_too_long_is_refused(array: np.ndarray, data: st.DataObject) -> None:
    whole = saved(array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for content in (whole[:cut], whole + b"\0"):
        with pytest.raises(EdgemlError, match=r"^x: "):
            read_sample(content, where="x")


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda b: b"\x93NUMPY\x01\x00" + b)))
def test_noise_is_an_error_and_nothing_else(content: bytes) -> None:
    with pytest.raises(EdgemlError, match=r"^x: "):
        read_sample(content, where="x")


@pytest.mark.parametrize(
    "content",
    [
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 1000)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -4)}", b"0" * 16),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4)}", b"0" * 15),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n."),
        header("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", b"0" * 8),
        header("[" * 60_000),
        b"\x93NUMPY\x09\x00",
        b"\x89PNG\r\n\x1a\n" + b"0" * 50,
        b"\xff\xd8\xff\xe0" + b"0" * 50,
    ],
    ids=["huge", "negative", "no number", "pickle", "complex", "deep", "version", "png", "jpeg"],
)
def test_hostile_files_are_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(EdgemlError, match=r"^x: "):
        read_sample(content, where="x")


def test_images_become_pixels() -> None:
    image_module = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    file = io.BytesIO()
    image_module.fromarray(pixels).save(file, "PNG")
    np.testing.assert_array_equal(read_sample(file.getvalue(), where="x"), pixels)
    with pytest.raises(EdgemlError):
        read_sample(file.getvalue()[:60], where="x")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["PNG", "JPEG"]), st.lists(st.tuples(st.integers(8, 600), st.integers(0, 255)), min_size=1))
def test_a_damaged_image_is_read_or_refused(kind: str, damage: list[tuple[int, int]]) -> None:
    image_module = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image_module.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)).save(file, kind)
    content = bytearray(file.getvalue())
    for position, value in damage:
        content[position % len(content)] = value
    try:
        read = read_sample(bytes(content), where="x")
    except EdgemlError:
        return
    assert read.dtype == np.uint8


def test_an_image_that_unpacks_to_too_much_is_refused_before_it_does() -> None:
    image_module = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image_module.new("1", (5_000, 5_000)).save(file, "PNG")
    assert len(file.getvalue()) < 10_000
    with pytest.raises(EdgemlError, match="pixels"):
        read_sample(file.getvalue(), where="x")


@pytest.mark.parametrize(
    ("shape", "stack"),
    [((8, 8), (1, 8, 8)), ((8, 8, 3), (1, 8, 8, 3)), ((5, 8, 8), (5, 8, 8)), ((5, 8, 8, 1), (5, 8, 8, 1))],
)
def test_one_image_or_a_stack(shape: tuple[int, ...], stack: tuple[int, ...]) -> None:
    assert split_stack(np.zeros(shape, np.uint8), IMAGE, 3, where="x").shape == stack


@pytest.mark.parametrize(("shape", "stack"), [((12,), (1, 12)), ((7, 12), (7, 12))])
def test_one_row_or_a_stack(shape: tuple[int, ...], stack: tuple[int, ...]) -> None:
    assert split_stack(np.zeros(shape), ARRAY, 1, where="x").shape == stack


@pytest.mark.parametrize(
    ("array", "preprocessing"),
    [
        (np.zeros((2, 8, 8, 5), np.uint8), IMAGE),
        (np.zeros((8, 8), np.int64), IMAGE),
        (np.zeros((0, 8, 8), np.uint8), IMAGE),
        (np.zeros((8,), np.uint8), IMAGE),
        (np.zeros((2, 3, 12)), ARRAY),
        (np.zeros(()), ARRAY),
    ],
)
def test_other_shapes_and_types_are_refused(array: np.ndarray, preprocessing: Preprocessing) -> None:
    with pytest.raises(EdgemlError, match=r"^x: "):
        split_stack(array, preprocessing, 1 if preprocessing is ARRAY else 3, where="x")
