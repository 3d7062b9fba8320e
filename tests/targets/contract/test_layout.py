"""How artifacts stand to the float model: what goes in comes out, and damaged metadata is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.layout import SCHEMA, Metadata, Port
from edgeml_targets.contract.tensors import Tensor


@given(st.permutations(range(4)), st.lists(st.integers(1, 5), min_size=4, max_size=4))
def test_what_a_file_gives_back_is_what_it_was_given(permutation: list[int], shape: list[int]) -> None:
    port = Port(Tensor("x", "float32", tuple(shape)), tuple(permutation))
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    there = port.to_file(array)

    assert there.shape == tuple(shape[axis] for axis in permutation)
    np.testing.assert_array_equal(port.to_model(there), array)


def test_nchw_becomes_nhwc() -> None:
    port = Port(Tensor("x", "float32", (-1, 3, 8, 9)), (0, 2, 3, 1))

    assert port.to_file(np.zeros((2, 3, 8, 9))).shape == (2, 8, 9, 3)
    assert port.to_file(np.zeros((2, 3, 8, 9))).flags.c_contiguous


def test_metadata_is_read_as_it_was_written() -> None:
    ports = (Port(Tensor("x", "float32", (-1, 3, 8, 8)), (0, 2, 3, 1)), Port(Tensor("y", "int64", ())))
    metadata = Metadata(inputs=ports, outputs=ports[::-1])

    assert Metadata.from_json(metadata.to_json(), where="m.tflite") == metadata


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x00", "damaged"),
        (b"{}", "damaged"),
        (b'{"schema": "edgeml.layout/9", "inputs": [], "outputs": []}', "edgeml.layout/9"),
        (
            b'{"inputs": [{"tensor": {"name": "x", "dtype": "float32", "shape": [1]}, "permutation": [1]}], "outputs": []}',
            "x",
        ),
    ],
)
def test_metadata_from_elsewhere_is_refused_with_the_files_name(content: bytes, said: str) -> None:
    with pytest.raises(EdgemlError, match=said) as caught:
        Metadata.from_json(content, where="m.tflite")

    assert caught.value.where == "m.tflite"
    assert SCHEMA == "edgeml.layout/1"
