"""Equal arrays are found, and those that differ in one bit are not taken for equal."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeml_targets.contract.equal import Firsts

SHAPES = arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5)
KINDS = [np.uint8, np.int8, np.float32, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]


@st.composite
def some(draw: st.DrawFn) -> np.ndarray:
    """Draw an array, of few values, so that equal ones are frequent."""
    values = draw(arrays.arrays(np.int8, draw(SHAPES), elements=st.integers(-1, 1)))
    return values.astype(draw(st.sampled_from(KINDS)))


def bits(array: np.ndarray) -> tuple[str, tuple[int, ...], bytes]:
    return str(array.dtype), array.shape, array.tobytes()


@given(st.lists(some(), max_size=12))
def test_the_first_of_equal_ones_is_found(contents: list[np.ndarray]) -> None:
    firsts = Firsts[int]()
    found = [firsts.first(content, index) for index, content in enumerate(contents)]
    known = [bits(content) for content in contents]
    assert found == [known.index(content) for content in known]


def test_those_that_look_alike_at_a_glance_are_read_whole() -> None:
    first = np.zeros(10_000, np.float32)
    contents = [first.copy() for _ in range(4)]
    contents[1][7], contents[2][7] = 1, 1
    contents[3][11] = -0.0
    firsts = Firsts[int]()
    assert [firsts.first(content, index) for index, content in enumerate(contents)] == [0, 1, 1, 3]
    assert firsts.first(first[::1].reshape(100, 100).T, 4) == 4 and firsts.first(first.reshape(100, 100), 5) == 4


def test_objects_are_never_equal() -> None:
    firsts = Firsts[int]()
    texts = np.array(["a", "b"], object)
    assert [firsts.first(texts, index) for index in range(2)] == [0, 1]
