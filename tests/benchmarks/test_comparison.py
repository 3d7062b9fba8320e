"""Verdicts, and one real comparison with all that the report needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_bench import compare, comparison
from edgeml_bench.comparison import LOADS, Comparison, Verdict, judge
from edgeml_bench.statistics import Estimate
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.target import find_target

OPPOSITE = {
    Verdict.FASTER: Verdict.SLOWER,
    Verdict.SLOWER: Verdict.FASTER,
    Verdict.NO_DIFFERENCE: Verdict.NO_DIFFERENCE,
}
TARGET = "x86_64-onnxruntime"
ratios = st.lists(st.floats(0.5, 2.0), min_size=3, max_size=3).map(sorted)


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.60, 0.70, 0.80, Verdict.FASTER),
        (1.20, 1.30, 1.40, Verdict.SLOWER),
        (0.90, 0.95, 1.00, Verdict.NO_DIFFERENCE),  # the interval holds 1
        (1.002, 1.005, 1.008, Verdict.NO_DIFFERENCE),  # sure, and less than the place in memory does
        (0.80, 1.30, 1.90, Verdict.NO_DIFFERENCE),
    ],
)
def test_a_difference_excludes_1_and_is_larger_than_1_percent(
    low: float, value: float, high: float, verdict: Verdict
) -> None:
    assert judge(Estimate(value, low, high)) is verdict


@given(ratios)
def test_swapping_a_and_b_turns_the_verdict_over(ends: list[float]) -> None:
    low, value, high = ends
    assert judge(Estimate(1 / value, 1 / high, 1 / low)) is OPPOSITE[judge(Estimate(value, low, high))]


@pytest.fixture(scope="module", autouse=True)
def _hurried() -> Iterator[None]:
    """A tenth of the time tells all but the finest differences, and none of those is asked for here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "SECONDS", comparison.SECONDS / 10)
        yield


@pytest.fixture(scope="module")
def copies(tiny_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    twin = tmp_path_factory.mktemp("twin") / "twin.onnx"
    shutil.copy(tiny_cnn, twin)
    return compare(tiny_cnn, twin, find_target(TARGET))


def test_a_comparison_is_the_document_that_others_rely_on(copies: Comparison) -> None:
    document = json.loads(copies.to_json())
    assert document["schema"] == "edgeml.compare/1"
    assert {"a", "b", "target", "ratio", "ratio_low", "ratio_high", "verdict"} <= set(document)
    assert document["ratio_low"] <= document["ratio"] <= document["ratio_high"]
    assert document["verdict"] in ("faster", "slower", "no difference")


def test_a_comparison_hands_on_what_a_report_draws(copies: Comparison) -> None:
    a, b = copies.sides
    assert a.sha256 == b.sha256 and a.size_bytes == b.size_bytes
    assert copies.loads == len(copies.pair_ratios) == len(a.load_p50_us) == len(b.load_began_s) <= LOADS
    for side in copies.sides:
        assert side.latency_us.total + side.slowest == side.inferences
        assert side.p50_us <= side.p90_us <= side.p99_us
    names = [m.name for m in copies.measures]
    assert names[:3] == ["p50 latency", "p90 latency", "p99 latency"] and names[-1] == "size"
    assert copies.measures[-1].ratio == 1.0 and copies.measures[-1].verdict is None


def test_more_work_is_slower(tiny_cnn: Path, tiny_mlp: Path) -> None:
    found = compare(tiny_mlp, tiny_cnn, find_target(TARGET))
    assert found.verdict is Verdict.SLOWER and found.ratio_low > 1.5
    assert "times slower than A" in found.reason


def test_a_target_that_is_not_here_is_refused_before_anything_is_timed(tiny_cnn: Path) -> None:
    with pytest.raises(EdgemlError, match="jetson-orin-tensorrt"):
        compare(tiny_cnn, tiny_cnn, find_target("jetson-orin-tensorrt"))
