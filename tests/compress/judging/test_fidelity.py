"""How close answers are, in cases whose cosine can be derived."""

from __future__ import annotations

import tracemalloc
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeml_compress.judging import fidelity as module
from edgeml_compress.judging.fidelity import fidelity, relative_error

WIDE = 8


def test_equal_answers_have_cosine_one_and_no_error() -> None:
    answers = {"y": np.random.default_rng(0).standard_normal((5, 10)).astype(np.float32)}
    assert fidelity(answers, answers).cosine_min == pytest.approx(1.0)
    assert relative_error(answers, answers) == 0


def test_the_worst_sample_counts() -> None:
    reference = np.zeros((2, WIDE))
    reference[:, 0] = 1
    answers = reference.copy()
    answers[1, :2] = 1, 1  # 45 degrees off
    assert fidelity({"y": reference}, {"y": answers}).cosine_min == pytest.approx(2**-0.5)


def test_the_worst_output_counts() -> None:
    reference = {"a": np.ones((2, WIDE)), "b": np.eye(2, WIDE)}
    answers = {"a": np.ones((2, WIDE)), "b": np.eye(2, WIDE, k=1)}
    assert fidelity(reference, answers).cosine_min == pytest.approx(0.0)


def test_a_small_output_is_judged_stacked_over_samples() -> None:
    """Alone, every [1, 1] answer has cosine 1, whatever it says."""
    reference, answers = np.array([[1.0], [2.0]]), np.array([[2.0], [1.0]])
    assert fidelity({"y": reference}, {"y": answers}).cosine_min == pytest.approx(4 / 5)


def test_an_answer_that_is_next_to_nothing_is_left_out_and_counted() -> None:
    reference = np.ones((3, WIDE))
    reference[1] = 4e-7
    answers = reference.copy()
    answers[1, 0] = -1e-6
    found = fidelity({"y": reference}, {"y": answers})
    assert found.left_out == 1 and found.cosine_min == pytest.approx(1.0)


def test_nothing_that_could_be_judged_is_no_cosine() -> None:
    assert fidelity({"y": np.zeros((2, WIDE))}, {"y": np.ones((2, WIDE))}).cosine_min is None


def test_an_answer_that_is_not_finite_or_all_zero_has_cosine_zero() -> None:
    for broken in (np.nan, np.inf, 0.0):
        answers = np.ones((2, WIDE))
        answers[1] = broken
        assert fidelity({"y": np.ones((2, WIDE))}, {"y": answers}).cosine_min == 0


def test_outputs_that_are_no_numbers_are_left_alone() -> None:
    texts = {"text": np.array([["a"], ["b"]]), "y": np.ones((2, WIDE))}
    assert fidelity(texts, texts).cosine_min == pytest.approx(1.0)


# Rounded, for a factor would make 0 of the smallest numbers.
rows = arrays(np.float64, (4, WIDE), elements=st.floats(-1e3, 1e3).map(lambda value: round(value, 6)))


@given(rows, rows, st.floats(1e-3, 1e3))
def test_a_cosine_lies_between_minus_one_and_one_and_knows_no_scale(a, b, factor) -> None:  # type: ignore[no-untyped-def]
    found = fidelity({"y": a}, {"y": b}).cosine_min
    assert found is None or -1 <= found <= 1
    scaled = fidelity({"y": a}, {"y": b * factor}).cosine_min
    assert scaled == (None if found is None else pytest.approx(found, abs=1e-9))


@given(rows)
def test_the_error_of_saying_nothing_is_one(a) -> None:  # type: ignore[no-untyped-def]
    if np.abs(a).max() > 1e-3:
        assert relative_error({"y": a}, {"y": np.zeros_like(a)}) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_class_ids_are_judged_by_how_many_are_equal(dtype: str) -> None:
    """As numbers, 400 and 401 point the same way."""
    reference = np.random.default_rng(0).integers(0, 2, (300, 1)).astype(dtype)
    answers = reference.copy()
    answers[::3] = ~answers[::3] if dtype == "bool" else answers[::3] + 1
    assert fidelity({"y": reference}, {"y": answers}).cosine_min == pytest.approx(2 / 3)
    assert relative_error({"y": reference}, {"y": answers}) == pytest.approx(1 / 3)
    assert fidelity({"y": reference}, {"y": reference}).cosine_min == 1


@pytest.mark.parametrize("width", [1, WIDE])
def test_what_float_itself_cannot_say_is_counted_apart(width: int) -> None:
    reference = np.ones((4, width))
    reference[1] = np.nan
    found = fidelity({"y": reference}, {"y": np.ones((4, width))})
    assert (found.not_finite, found.left_out, found.cosine_min) == (1, 0, pytest.approx(1.0))


def test_answers_in_double_precision_stay_what_they_are() -> None:
    reference, answers = {"y": np.ones((2, WIDE))}, {"y": np.full((2, WIDE), 3.0)}
    assert [relative_error(reference, answers) for _ in range(2)] == [2.0, 2.0]
    assert (answers["y"] == 3).all()


def test_an_output_of_another_size_is_left_out_and_told() -> None:
    reference = {"y": np.ones((2, WIDE)), "at": np.ones((2, 5), np.int64), "gone": np.ones((2, WIDE))}
    answers = {"y": np.ones((2, WIDE)), "at": np.ones((2, 4), np.int64)}
    found = fidelity(reference, answers)
    assert found.apart == ("at", "gone") and found.cosine_min == pytest.approx(1.0)
    assert relative_error(reference, answers) == pytest.approx(0)
    assert fidelity(reference, answers, {"at", "gone"}) == found


def test_an_output_of_another_size_that_the_data_does_not_decide_is_wrong() -> None:
    reference = {"y": np.ones((2, WIDE)), "at": np.ones((2, 5), np.int64)}
    found = fidelity(reference, {"y": np.ones((2, 2 * WIDE)), "at": np.ones((2, 4), np.int64)}, {"at"})
    assert (found.cosine_min, found.apart) == (0.0, ("at",))


@given(
    arrays(np.float32, (7, 9), elements=st.sampled_from([0.0, 1.0, -2.5, 1e-9, 3e4, np.nan, np.inf])),
    st.integers(1, 70),
    st.sampled_from([9, 3]),
)
def test_how_many_are_compared_at_once_changes_nothing(expected: np.ndarray, values: int, width: int) -> None:
    reference, answers = {"y": expected[:, :width]}, {"y": expected[::-1, :width]}
    with mock.patch.object(module, "FEW_VALUES", values):
        found = fidelity(reference, answers)
    assert found == fidelity(reference, answers)


def test_large_answers_are_not_held_several_times() -> None:
    reference = {"y": np.random.default_rng(0).standard_normal((400, 20_000)).astype(np.float32)}
    answers = {"y": reference["y"] + np.float32(0.1)}
    with mock.patch.object(module, "FEW_VALUES", 1 << 16):
        tracemalloc.start()
        try:
            assert fidelity(reference, answers).cosine_min is not None and relative_error(reference, answers) > 0
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < reference["y"].nbytes / 2
