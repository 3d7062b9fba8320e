"""Verdicts on ours against a peer: McNemar's test by its definition, Holm by hand, words by their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from edgeml_bench.statistics import Estimate
from peers.verdicts import Difference, Word, accuracy_word, difference, holm, latency_ratio, latency_word, mcnemar

flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
shares = st.lists(st.floats(0, 1), max_size=12)


@given(flags)
def test_mcnemar_is_the_sign_test_on_the_samples_that_only_one_got_right(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side) for side in zip(*pairs, strict=True))
    only_first, discordant = int((first & ~second).sum()), int((first != second).sum())

    expected = binomtest(only_first, discordant).pvalue if discordant else 1.0

    assert mcnemar(first, second) == pytest.approx(expected)


@given(flags)
def test_the_difference_changes_its_sign_with_the_sides(pairs: list[tuple[bool, bool]]) -> None:
    ours, peer = (np.array(side) for side in zip(*pairs, strict=True))

    there, back = difference(ours, peer), difference(peer, ours)

    assert there.points == pytest.approx(-back.points) == pytest.approx(100 * (ours.mean() - peer.mean()))
    assert there.p == back.p


def test_holm_multiplies_the_smallest_by_all_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(shares)
def test_holm_corrects_upwards_keeps_the_order_and_stays_a_probability(values: list[float]) -> None:
    corrected = holm(values)

    assert all(p <= c <= 1 for p, c in zip(values, corrected, strict=True))
    ranked = [c for _, c in sorted(zip(values, corrected, strict=True))]
    assert ranked == sorted(ranked)


@pytest.mark.parametrize(
    ("found", "corrected_p", "word"),
    [
        (Difference(2.0, 0.5, 3.5, 0.001), 0.01, Word.BETTER),
        (Difference(2.0, 0.5, 3.5, 0.03), 0.3, Word.NOT_WORSE),  # one of many, so it may be chance
        (Difference(0.0, -0.4, 0.4, 1.0), 1.0, Word.NOT_WORSE),
        (Difference(-0.3, -1.4, 0.8, 0.6), 1.0, Word.INSUFFICIENT),
        (Difference(-0.8, -1.2, -0.4, 0.0001), 0.001, Word.WORSE),
        (Difference(-3.0, -4.8, -1.2, 0.02), 0.2, Word.WORSE),  # more than a point lost for sure, whatever p says
    ],
)
def test_the_word_for_an_accuracy(found: Difference, corrected_p: float, word: Word) -> None:
    assert accuracy_word(found, corrected_p) is word


@pytest.mark.parametrize(
    ("ratio", "word"),
    [
        (Estimate(0.7, 0.69, 0.71), Word.BETTER),
        (Estimate(0.995, 0.99, 0.999), Word.NOT_WORSE),  # less than 1 % can come from the place in memory
        (Estimate(1.03, 1.01, 1.05), Word.NOT_WORSE),
        (Estimate(1.04, 1.03, 1.05), Word.WORSE),
    ],
)
def test_the_word_for_a_latency(ratio: Estimate, word: Word) -> None:
    assert latency_word(ratio) is word


def test_the_ratio_is_ours_over_the_peers() -> None:
    assert latency_ratio([50.0] * 8, [100.0] * 8).value == pytest.approx(0.5)
