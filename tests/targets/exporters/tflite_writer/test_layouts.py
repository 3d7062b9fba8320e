"""What holds of layouts and shapes, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_targets.exporters.tflite_writer.layouts import (
    CHANNELS_LAST,
    Layout,
    arranged,
    file_shape,
    in_model_order,
    reduced,
    relabelled,
    squeezed,
    transposed,
    unsqueezed,
)
from edgeml_targets.exporters.tflite_writer.refusal import Inexpressible
from edgeml_targets.exporters.tflite_writer.shapes import FREE, FREE_SIZE, Shape, broadcast, reshaped

sizes = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)


@st.composite
def held(draw: st.DrawFn) -> tuple[Shape, Layout]:
    shape = draw(sizes)
    gaps = [None] * draw(st.integers(0, 2))
    return shape, tuple(draw(st.permutations([*range(len(shape)), *gaps])))


def numbered(shape: Shape) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


@given(held(), st.data())
def test_a_transposition_leaves_the_file_s_elements_where_they_are(
    tensor: tuple[Shape, Layout], data: st.DataObject
) -> None:
    shape, layout = tensor
    order = data.draw(st.permutations(range(len(shape))))
    array = numbered(shape)
    after = arranged(array.transpose(order), transposed(layout, order))
    np.testing.assert_array_equal(after, arranged(array, layout))


@given(held())
def test_a_squeeze_leaves_the_file_s_elements_where_they_are(tensor: tuple[Shape, Layout]) -> None:
    shape, layout = tensor
    ones = [axis for axis, size in enumerate(shape) if size == 1]
    array = numbered(shape)
    np.testing.assert_array_equal(arranged(array.squeeze(tuple(ones)), squeezed(layout, ones)), arranged(array, layout))


@given(held(), st.data())
def test_an_unsqueeze_leaves_the_file_s_elements_in_order(tensor: tuple[Shape, Layout], data: st.DataObject) -> None:
    shape, layout = tensor
    rank = len(shape) + data.draw(st.integers(1, 3))
    axes = data.draw(
        st.lists(st.sampled_from(range(rank)), min_size=rank - len(shape), max_size=rank - len(shape), unique=True)
    )
    array = numbered(shape)
    after = arranged(np.expand_dims(array, tuple(axes)), unsqueezed(layout, axes))
    np.testing.assert_array_equal(after.reshape(-1), arranged(array, layout).reshape(-1))


@given(held(), st.data())
def test_a_reduction_drops_the_same_axes_on_both_sides(tensor: tuple[Shape, Layout], data: st.DataObject) -> None:
    shape, layout = tensor
    axes = data.draw(st.lists(st.sampled_from(range(len(shape))), unique=True))
    positions = tuple(i for i, axis in enumerate(layout) if axis in axes)
    array = numbered(shape)
    after = arranged(array.sum(tuple(axes)), reduced(layout, axes))
    np.testing.assert_array_equal(after, arranged(array, layout).sum(positions))


@given(held(), sizes)
def test_a_relabelled_tensor_holds_the_reshaped_value(tensor: tuple[Shape, Layout], new_shape: Shape) -> None:
    shape, layout = tensor
    made = relabelled(shape, layout, new_shape)
    if made is not None:
        assert file_shape(new_shape, made) == file_shape(shape, layout)
        np.testing.assert_array_equal(arranged(numbered(new_shape), made), arranged(numbered(shape), layout))


@given(held())
def test_in_the_model_s_order_the_elements_are(tensor: tuple[Shape, Layout]) -> None:
    shape, layout = tensor
    same = bool((arranged(numbered(shape), layout).reshape(-1) == numbered(shape).reshape(-1)).all())
    assert in_model_order(shape, layout) == same


def test_a_signal_is_an_image_of_height_1() -> None:
    assert file_shape((FREE, 9, 20), CHANNELS_LAST[3]) == (FREE, 1, 20, 9)


@given(sizes, st.data())
def test_a_reshape_of_known_sizes_is_numpy_s(shape: Shape, data: st.DataObject) -> None:
    asked = data.draw(st.permutations([*shape, 1]))
    asked[data.draw(st.integers(0, len(asked) - 1))] = -1
    assert reshaped(shape, asked, zero_copies=True) == numbered(shape).reshape(asked).shape


@pytest.mark.parametrize(
    ("shape", "asked", "made"),
    [
        ((FREE, 3, 4), [0, -1], (FREE, 12)),
        ((FREE, 3, 4), [-1, 12], (FREE, 12)),
        ((FREE, 3, 4), [FREE_SIZE, -1], (FREE, 12)),
        ((FREE, 3, 4), [-1, 4], (FREE, 4)),
        ((FREE, 3, 4), [1, 12], (FREE, 12)),
        ((FREE, 3, 4), [0, 0, 2, 2], (FREE, 3, 2, 2)),
        ((2, 3, 4), [-1], (24,)),
    ],
)
def test_a_free_batch_stays_free(shape: Shape, asked: list[int], made: Shape) -> None:
    assert reshaped(shape, asked, zero_copies=True) == made


@pytest.mark.parametrize(
    ("shape", "asked"), [((FREE, 3), [2, 3]), ((2, 3), [4, -1]), ((2, 3), [5]), ((FREE, 3), [-1, 2])]
)
def test_what_does_not_go_together_is_refused(shape: Shape, asked: list[int]) -> None:
    with pytest.raises(Inexpressible):
        reshaped(shape, asked, zero_copies=True)


@given(sizes, sizes)
def test_shapes_broadcast_as_numpy_s(left: Shape, right: Shape) -> None:
    try:
        wanted = np.broadcast_shapes(left, right)
    except ValueError:
        with pytest.raises(Inexpressible):
            broadcast(left, right)
    else:
        assert broadcast(left, right) == wanted
