"""Samples on the disk are indexed, cast and read as an array in memory is, and are never read whole unless that is asked."""

from __future__ import annotations

import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from edgeml_targets.contract import stored
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.stored import Stored, blocks, joined, open_npy, write_samples

TYPES = ("float32", "float64", ">f4", "float16", "int64", "uint8", "bool", "U3")


def opened(path: Path, array: Any) -> Stored:
    np.save(path, array)
    with path.open("rb") as file:
        found = open_npy(file, str(path))
    assert found is not None
    return found


@st.composite
def samples(draw: st.DrawFn) -> Any:
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7))
    shape = (shape[0], *(max(size, 1) for size in shape[1:]))
    return draw(arrays(dtype, shape, elements=from_dtype(dtype, allow_nan=False, allow_infinity=False)))


def keys(count: int) -> st.SearchStrategy[Any]:
    ways: list[st.SearchStrategy[Any]] = [
        st.slices(count),
        st.lists(st.booleans(), min_size=count, max_size=count).map(lambda found: np.array(found, np.bool_)),
    ]
    if count:
        rows = st.integers(-count, count - 1)
        ways += [rows, st.lists(rows, max_size=9).map(lambda found: np.array(found, np.intp))]
    return st.one_of(*ways)


@given(st.data())
def test_every_way_of_indexing_gives_what_numpy_gives(data: st.DataObject) -> None:
    array = data.draw(samples())
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(stored, "BLOCK_BYTES", data.draw(st.integers(1, 99))),
    ):
        found = opened(Path(folder) / "x.npy", array)
        for _ in range(3):
            assert found.shape == array.shape and found.ndim == array.ndim
            assert found.size == array.size and found.nbytes == array.nbytes
            assert found.dtype == array.dtype and len(found) == len(array)
            read = np.asarray(found)
            assert read.dtype == array.dtype and read.flags.writeable
            np.testing.assert_array_equal(read, array)
            np.testing.assert_array_equal(list(found), list(array))
            np.testing.assert_array_equal(np.concatenate([array[:0], *blocks(found)]), array)
            key = data.draw(keys(len(array)))
            found, array = found[key], array[key]
            if not isinstance(found, Stored):
                assert found.dtype == array.dtype and type(found) is type(array)
                np.testing.assert_array_equal(found, array)
                return


@given(arrays(np.float64, (5, 2), elements=st.floats(-1e3, 1e3)))
def test_a_cast_is_made_as_samples_are_read(array: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = opened(Path(folder) / "x.npy", array).astype("float16")
    assert found.dtype == np.float16 and found.nbytes == 20 and found.astype("float16") is found
    np.testing.assert_array_equal(np.asarray(found[1:]), array[1:].astype(np.float16))
    np.testing.assert_array_equal(np.asarray(found.astype(np.float64)), array.astype(np.float16).astype(np.float64))
    np.testing.assert_array_equal(np.asarray(found, np.float32), array.astype(np.float16).astype(np.float32))
    assert found[2].dtype == np.float16


@pytest.mark.parametrize("key", [5, -6, np.zeros(4, np.bool_), (0, 0), None, [[0, 1]]])
def test_what_is_not_there_and_further_axes_are_refused(key: Any, tmp_path: Path) -> None:
    found = opened(tmp_path / "x.npy", np.zeros((5, 2)))
    with pytest.raises(IndexError):
        found[key]


def test_it_says_which_file_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    found = opened(path, np.arange(1000.0))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    assert found[998] == 998
    with pytest.raises(EdgemlError, match=r"x\.npy: the file became shorter"):
        found[999]
    with pytest.raises(EdgemlError, match="shorter"):
        np.asarray(found)
    with path.open("rb") as file, pytest.raises(ValueError, match="ends before the last sample"):
        open_npy(file, str(path))


@pytest.mark.parametrize("shape", [(10**13, 4), (10, -4), (-5, 4)])
def test_a_header_may_claim_any_number(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.write(bytes(160))
    with path.open("rb") as file, pytest.raises(ValueError, match=r"its shape is|ends before the last sample"):
        open_npy(file, str(path))


@pytest.mark.parametrize("array", [np.zeros((3, 2), order="F"), np.float64(1), np.zeros((3, 0))])
def test_what_is_for_numpy_alone(array: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    with (tmp_path / "x.npy").open("rb") as file:
        assert open_npy(file, "x.npy") is None


def test_threads_read_at_once(tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal((200, 1000))
    found = opened(tmp_path / "x.npy", array)
    rows = np.random.default_rng(1).integers(0, len(array), 2000).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda row: np.array_equal(found[row], array[row]), rows))


def test_parts_are_written_into_a_file_that_nobody_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    array = np.arange(24.0).reshape(6, 2, 2)
    found = write_samples(iter([array[:4], array[4:, ::-1]]))
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(np.asarray(found), np.concatenate([array[:4], array[4:, ::-1]]))


def test_what_is_joined_stays_on_the_disk_where_it_is_of_one_file(tmp_path: Path) -> None:
    array = np.arange(12).reshape(6, 2)
    found, other = opened(tmp_path / "x.npy", array), opened(tmp_path / "y.npy", array)
    assert isinstance(joined(found[:2], found[4:]), Stored)
    for first, second in (
        (found[:2], found[4:]),
        (found[:2], other[4:]),
        (array[:2], found[4:]),
        (array[:2], array[4:]),
    ):
        np.testing.assert_array_equal(np.asarray(joined(first, second)), array[[0, 1, 4, 5]])


def test_another_process_gets_what_was_read(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(6, 2)
    with ProcessPoolExecutor(1) as pool:
        sent = pool.submit(np.positive, opened(tmp_path / "x.npy", array)[1::2]).result()
    assert isinstance(sent, np.ndarray)
    np.testing.assert_array_equal(sent, array[1::2])
