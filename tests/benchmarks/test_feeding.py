"""From arrays to inputs: shapes, types, and what is said when they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_bench.feeding import random_inputs, read_inputs, shape_sample, shaped_inputs
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.tensors import Tensor

IMAGE = Tensor("x", "float32", (-1, 3, 4, 4))
dtypes = st.sampled_from(["float32", "float16", "int64", "uint8", "bool"])
sizes = st.lists(st.integers(1, 4), max_size=3)


@given(dtypes, sizes, st.booleans())
def test_random_inputs_have_the_models_type_and_shape_with_a_batch_of_1(
    dtype: str, rest: list[int], batched: bool
) -> None:
    shape = (-1, *rest) if batched else tuple(rest)
    made = random_inputs([Tensor("t", dtype, shape)], 0, where="m.onnx")["t"]
    assert made.dtype == np.dtype(dtype)
    assert made.shape == ((1, *rest) if batched else tuple(rest))


def test_a_size_that_cannot_be_chosen_is_asked_for() -> None:
    with pytest.raises(EdgemlError, match=r"m\.onnx: input x takes any size along some axes \(\[any, 3, any, any\]\)"):
        random_inputs([Tensor("x", "float32", (-1, 3, -1, -1))], 0, where="m.onnx")


def test_a_sample_without_a_batch_axis_gets_one_and_one_with_it_stays() -> None:
    assert shape_sample(IMAGE, np.zeros((3, 4, 4)), where="m").shape == (1, 3, 4, 4)
    assert shape_sample(IMAGE, np.zeros((1, 3, 4, 4)), where="m").shape == (1, 3, 4, 4)
    assert shape_sample(IMAGE, np.zeros((3, 4, 4)), where="m").dtype == np.float32


@pytest.mark.parametrize("wrong", [np.zeros((5, 7)), np.zeros((3, 4, 5)), np.zeros(()), np.zeros((1, 1, 3, 4, 4))])
def test_a_sample_of_another_shape_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(EdgemlError, match="does not fit input x"):
        shape_sample(IMAGE, wrong, where="wrong.npy")


def test_a_sample_of_another_kind_of_type_is_refused() -> None:
    with pytest.raises(EdgemlError, match="a sample of float64 does not fit input ids of int64"):
        shape_sample(Tensor("ids", "int64", (-1, 2)), np.zeros(2), where="ids.npy")


def test_an_array_without_a_name_is_the_models_only_input() -> None:
    assert set(shaped_inputs([IMAGE], {"": np.zeros((3, 4, 4), np.float32)}, where="m")) == {"x"}
    with pytest.raises(EdgemlError, match="no sample for input"):
        shaped_inputs([IMAGE, Tensor("y", "float32", (1,))], {"": np.zeros((3, 4, 4))}, where="m")


@pytest.mark.parametrize("content", [None, b"", b"no array", b"PK\x03\x04 cut off"])
def test_a_file_without_arrays_is_refused_and_named(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "inputs.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EdgemlError, match=r"inputs\.npz"):
        read_inputs(file)


def test_a_sample_of_text_that_is_no_array_is_taken() -> None:
    assert shape_sample(Tensor("s", "str", (-1,)), np.array(["a", "b"])[0], where="m").tolist() == ["a"]
