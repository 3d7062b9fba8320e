"""Races: what disturbed both cancels out, the interval covers, and copies of one file do not differ."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeml_bench import race
from edgeml_bench.comparison import Verdict, judge
from edgeml_bench.jobs import LEAST_LOADS, Load
from edgeml_bench.racing import LOADS, medians_us, paired_medians_us
from edgeml_bench.statistics import ratio_interval
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings

ONNXRUNTIME = Settings(target="x86_64-onnxruntime", runtime="onnxruntime")
Machine = Callable[[np.random.Generator, float], tuple[list[Load], list[Load]]]


def load(entrant: int, blocks: np.ndarray) -> Load:
    whole = [[round(t) for t in block] for block in blocks]
    return Load(entrant=entrant, began_s=0.0, load_ms=1.0, first_us=1.0, blocks=whole)


def rounds(
    draw: np.random.Generator, ratio: float, *, loads: int = LOADS, blocks: int = 6
) -> tuple[list[Load], list[Load]]:
    """Play rounds on a noisy machine: A takes 100 us, B `ratio` times that; `blocks` a load.

    Each load gets a place in memory worth 0.5 %; a tenth of the half cycles (one block of each) run twice as slow;
    so does one block in twenty by itself; single inferences spread by 5 %.
    """
    sides: tuple[list[Load], list[Load]] = ([], [])
    for _ in range(loads):
        shared = np.where(draw.random(blocks) < 0.1, 2.0, 1.0)
        for entrant, factor in enumerate((1.0, ratio)):
            own = np.where(draw.random(blocks) < 0.05, 2.0, 1.0)
            level = 1e5 * factor * math.exp(0.005 * draw.standard_normal()) * shared * own
            sides[entrant].append(load(entrant, level[:, None] * np.exp(0.05 * draw.standard_normal((blocks, 5)))))
    return sides


@pytest.mark.parametrize(("truth", "loads", "blocks"), [(1.0, LOADS, 6), (0.7, LOADS, 2), (0.7, LEAST_LOADS, 4)])
def test_the_interval_covers_the_true_ratio_as_often_as_it_says(truth: float, loads: int, blocks: int) -> None:
    """However short a round is: the loads are what is counted, so fewer blocks make the interval wider, not wrong."""
    draw, runs, held = np.random.default_rng(2), 250, 0
    for _ in range(runs):
        a, b = rounds(draw, truth, loads=loads, blocks=blocks)
        found = ratio_interval(medians_us(a), paired_medians_us(b, a))
        held += found.low <= truth <= found.high
    assert held / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


def test_copies_differ_in_fewer_than_5_of_100_comparisons_and_a_twentieth_more_work_is_always_found() -> None:
    draw, runs = np.random.default_rng(3), 200
    verdicts: dict[float, list[Verdict]] = {1.0: [], 1.05: []}
    for truth, seen in verdicts.items():
        for _ in range(runs):
            a, b = rounds(draw, truth)
            seen.append(judge(ratio_interval(medians_us(a), paired_medians_us(b, a))))
    assert verdicts[1.0].count(Verdict.NO_DIFFERENCE) >= 0.95 * runs
    assert verdicts[1.05].count(Verdict.SLOWER) >= 0.95 * runs


def test_what_slows_both_for_longer_than_a_block_cancels_out() -> None:
    """A block of each beside the other: the machine is three times slower over the first half of the round."""
    trend = np.repeat([3.0, 1.0], 6)[:, None] * np.ones((12, 5))
    a, b = load(0, 1000 * trend), load(1, 1500 * trend)
    assert paired_medians_us([b], [a]) == pytest.approx([1.5 * float(np.median(a.times_us))])


def test_a_race_times_all_entrants_and_the_first_has_ratio_1(tiny_cnn: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin.onnx"
    shutil.copy(tiny_cnn, twin)
    first, second = race([tiny_cnn, twin], ONNXRUNTIME, seconds=1.0)
    assert (first.ratio, first.ratio_low, first.ratio_high) == (1.0, 1.0, 1.0)
    assert second.ratio_low <= second.ratio <= second.ratio_high
    assert 0 < second.p50_us <= second.p90_us <= second.p99_us
    assert LEAST_LOADS <= second.loads == len(second.medians_us) <= LOADS  # fewer where other programs take the time


def test_a_file_that_cannot_be_loaded_is_named(tiny_cnn: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_cnn.read_bytes()[:500])
    with pytest.raises(EdgemlError, match=r"broken\.onnx"):
        race([tiny_cnn, broken], ONNXRUNTIME, seconds=0.1)
