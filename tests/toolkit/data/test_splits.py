from __future__ import annotations

import hashlib
import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgeml.data.splits import SPLITS, share_out, share_out_added
from edgeml.project import FRESH_SHARE, LEAST_FRESH, LEAST_RETRAIN_LABELS, Fleet, Splits

SHARES = Splits(calibration=0.06, validation=0.1, test=0.1, golden=0.01, live=0.2)


def digests_of(contents: list[int]) -> npt.NDArray[np.uint8]:
    hashes = b"".join(hashlib.sha256(str(c).encode()).digest() for c in contents)
    return np.frombuffer(hashes, np.uint8).reshape(-1, 32)


def counts(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return np.bincount(codes, minlength=len(SPLITS))


class_sizes = st.lists(st.integers(1, 60), min_size=2, max_size=8)
share = st.floats(0, 0.18)
shares = st.builds(Splits, calibration=share, validation=share, test=share, golden=share, live=share)


@given(class_sizes, shares, st.integers(0, 2**31))
@settings(deadline=None)
def test_shares_are_met_over_all_and_in_every_class(sizes: list[int], wanted: Splits, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    codes = share_out(digests_of(list(range(len(labels)))), labels, wanted, seed)
    exact = np.array([getattr(wanted, name, 0.0) for name in SPLITS])
    assert (np.abs(counts(codes) - exact * len(labels)) < 2).all()
    for label, size in enumerate(sizes):
        assert (np.abs(counts(codes[labels == label]) - exact * size) < 3).all()


def test_round_shares_of_round_numbers_are_met_exactly() -> None:
    labels = np.repeat(np.arange(10), 500)
    codes = share_out(digests_of(list(range(5000))), labels, SHARES, 0)
    assert dict(zip(SPLITS, counts(codes).tolist(), strict=True)) == {
        "train": 2650, "calibration": 300, "validation": 500, "test": 500, "golden": 50, "live": 1000, "fresh": 0,
    }  # fmt: skip
    assert all((counts(codes[labels == label]) == counts(codes) // 10).all() for label in range(10))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=4, max_size=120), st.randoms())
@settings(deadline=None)
def test_a_split_follows_from_content_alone_and_no_content_is_in_two(
    samples: list[tuple[int, int]], random: object
) -> None:
    contents, labels = (list(column) for column in zip(*samples, strict=True))
    codes = share_out(digests_of(contents), np.array(labels), SHARES, 7)
    split_of: dict[int, int] = {}
    for content, code in zip(contents, codes.tolist(), strict=True):
        assert split_of.setdefault(content, code) == code
    order = np.arange(len(labels))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = share_out(digests_of([contents[i] for i in order]), np.array(labels)[order], SHARES, 7)
    assert (again == codes[order]).all()


def test_one_more_sample_in_the_source_moves_few_others() -> None:
    labels = np.repeat(np.arange(5), 100)
    before = share_out(digests_of(list(range(500))), labels, SHARES, 0)
    after = share_out(digests_of(list(range(501))), np.append(labels, 2), SHARES, 0)
    moved = (before != after[:500]).sum()
    assert moved <= 3 * (len(SPLITS) - 1)  # at most one a border, in its own class and in the two after it


def test_another_seed_draws_others() -> None:
    labels = np.repeat(np.arange(5), 100)
    draws = [share_out(digests_of(list(range(500))), labels, SHARES, seed) for seed in (0, 1)]
    assert (draws[0] != draws[1]).any() and (counts(draws[0]) == counts(draws[1])).all()


def test_added_samples_are_trained_on_or_judge_the_challenger_and_stay_out_of_the_rest() -> None:
    labels = np.repeat(np.arange(10), 50)
    (codes,) = share_out_added([(digests_of(list(range(500))), labels)], SHARES, 0)
    assert dict(zip(SPLITS, counts(codes).tolist(), strict=True)) == {
        "train": 320, "calibration": 30, "validation": 0, "test": 0, "golden": 0, "live": 0, "fresh": 150,
    }  # fmt: skip


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(2, 10), st.integers(0, 2**31))
@settings(deadline=None)
def test_many_small_additions_meet_the_shares_and_none_moves_one_before(
    sizes: list[int], classes: int, seed: int
) -> None:
    ends = np.cumsum([0, *sizes])
    digests, labels = digests_of(list(range(ends[-1]))), np.arange(ends[-1]) % classes
    additions = [(digests[a:b], labels[a:b]) for a, b in itertools.pairwise(ends)]
    codes = share_out_added(additions, SHARES, seed)
    fresh = counts(np.concatenate(codes))[SPLITS.index("fresh")]
    assert abs(fresh - FRESH_SHARE * ends[-1]) < 2
    for before, after in zip(share_out_added(additions[:-1], SHARES, seed), codes, strict=False):
        assert (before == after).all()


def test_the_labels_that_start_a_retrain_are_enough_to_judge_it() -> None:
    """Whatever the additions' sizes: the shares are met but for one sample."""
    assert FRESH_SHARE * LEAST_RETRAIN_LABELS - 1 >= LEAST_FRESH
    assert Fleet().retrain_labels >= LEAST_RETRAIN_LABELS
    with pytest.raises(ValidationError, match="retrain_labels"):
        Fleet(retrain_labels=LEAST_RETRAIN_LABELS - 1)
