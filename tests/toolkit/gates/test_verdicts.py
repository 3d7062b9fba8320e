"""Each gate at its threshold: what just holds passes, what just misses fails, too little is insufficient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgeml.gates import Verdict, find_gate, gate_names
from edgeml.gates.artifact_meets_criterion import ArtifactAccuracy, CriterionEvidence
from edgeml.gates.beats_trivial_baseline import BaselineEvidence
from edgeml.gates.canary_healthy import CanaryEvidence
from edgeml.gates.challenger_beats_champion import ChallengerEvidence, TargetComparison
from edgeml.gates.data_unit_tests_hold import DataTest, DataTestsEvidence
from edgeml.gates.enough_samples_a_class import SamplesEvidence
from edgeml.gates.fallback_tried import Drill, FallbackEvidence
from edgeml.gates.fits_budget import ArtifactCost, BudgetEvidence
from edgeml.gates.manifest_whole import ManifestEvidence
from edgeml.gates.no_drift import DriftEvidence
from edgeml.gates.no_sample_in_two_splits import SplitsEvidence
from edgeml.gates.not_stale import StalenessEvidence
from edgeml.gates.success_criteria_stated import CriteriaEvidence, evidence_of
from edgeml.gates.unknown_inputs_flagged import TargetFlags, UnknownEvidence
from edgeml.project import Project

PROJECT = Project.model_validate(
    {
        "root": Path("/nowhere"),
        "name": "scratch",
        "scope": "test",
        "targets": ["a"],
        "success": {"ml": {"metric": "accuracy", "threshold": 0.9}},
        "data": {"source": "images", "least_per_class": 10},
        "budgets": {"a": {"size_bytes": 1000, "latency_ms": 1.0}},
        "fleet": {"unknown_limit": 0.3, "drift_samples": 100, "canary_answers": 50, "stale_days": 30},
    }
)
SPLITS = {"train": 10, "calibration": 2, "validation": 2, "test": 2, "golden": 1}
CANARY = CanaryEvidence(
    release="r1", devices=("d",), answers=99, errors=1, unknown_share=0.3, p99_of_budget=1.0, self_test_passed=True
)
DRIFT = DriftEvidence(release="r1", windows=3, answers=100, feature="noise", effect=0.2, limit=0.2, unknown_share=0.3)
FLAGS = TargetFlags("a", 0.9, 0.9, 0.9, 0.12, 0.1, 400)
COMPARED = TargetComparison("a", 50, 3.0, 0.1, 6.0, 500, -1.0, -2.0, 0.0)


NOT_COMPARED = ChallengerEvidence("new", "old", (), ("a: tensorrt is not here",))


def changed(evidence: msgspec.Struct, **what: Any) -> msgspec.Struct:
    return msgspec.structs.replace(evidence, **what)


def criterion(accuracy: float, samples: int = 100) -> CriterionEvidence:
    good = ArtifactAccuracy("b", "int8", 0.99, 0.9, 1.0)
    return CriterionEvidence("m", samples, (good, ArtifactAccuracy("a", "int8", accuracy, 0.8, 0.95)))


def budget(size_bytes: int = 1000, p50_us: float | None = 1000.0, ratio_low: float | None = 1.02) -> BudgetEvidence:
    ratio = None if ratio_low is None else 1.05
    return BudgetEvidence("m", (ArtifactCost("a", size_bytes, p50_us, ratio, ratio_low),))


def foreign(champion: str) -> BudgetEvidence:
    """An artifact without a budget whose latency can't be measured here, beside one that fits."""
    return BudgetEvidence("m", (*budget().artifacts, ArtifactCost("b", 9, None, None, None, champion)))


def unknown(**what: Any) -> UnknownEvidence:
    """Two targets, of which the second just holds but for what is given."""
    return UnknownEvidence("m", 200, (TargetFlags("b", 1, 1, 1, 0.05, 0.03, 400), changed(FLAGS, **what)))  # type: ignore[arg-type]


def challenger(**what: Any) -> ChallengerEvidence:
    """A challenger that wins on one target by far, and on a second just so but for what is given."""
    easy = TargetComparison("b", 60, 30.0, 20.0, 40.0, 500, 1.0, 0.0, 2.0)
    return ChallengerEvidence("new", "old", (easy, changed(COMPARED, **what)))  # type: ignore[arg-type]


CASES = [
    ("success_criteria_stated", CriteriaEvidence("s", "b", "m", "e"), "pass"),
    ("success_criteria_stated", CriteriaEvidence("s", "b", "m", ""), "fail"),
    ("success_criteria_stated", CriteriaEvidence("", "b", "m", "e"), "fail"),
    ("enough_samples_a_class", SamplesEvidence("d", {"x": 10, "y": 99}), "pass"),
    ("enough_samples_a_class", SamplesEvidence("d", {"x": 9, "y": 99}), "fail"),
    ("enough_samples_a_class", SamplesEvidence("d", {"x": 99}), "fail"),
    ("enough_samples_a_class", SamplesEvidence("d", {}), "fail"),
    ("no_sample_in_two_splits", SplitsEvidence("d", SPLITS, 0), "pass"),
    ("no_sample_in_two_splits", SplitsEvidence("d", SPLITS, 1), "fail"),
    ("no_sample_in_two_splits", SplitsEvidence("d", {**SPLITS, "test": 0}, 0), "insufficient"),
    ("data_unit_tests_hold", DataTestsEvidence("d", (DataTest("range", "0 to 1", "0 to 1", True),)), "pass"),
    ("data_unit_tests_hold", DataTestsEvidence("d", (DataTest("range", "0 to 9", "0 to 1", False),)), "fail"),
    ("data_unit_tests_hold", DataTestsEvidence("d", ()), "insufficient"),
    ("beats_trivial_baseline", BaselineEvidence("m", "accuracy", 0.16, 0.1, 50), "pass"),
    ("beats_trivial_baseline", BaselineEvidence("m", "accuracy", 0.149, 0.1, 50), "fail"),
    ("beats_trivial_baseline", BaselineEvidence("m", "accuracy", 0.9, 0.1, 49), "insufficient"),
    ("manifest_whole", ManifestEvidence("m", {"code": "c", "seed": "0"}, ()), "pass"),
    ("manifest_whole", ManifestEvidence("m", {"code": "", "seed": "0"}, ()), "fail"),
    ("manifest_whole", ManifestEvidence("m", {"code": "c"}, ("model.onnx",)), "fail"),
    ("artifact_meets_criterion", criterion(0.9), "pass"),
    ("artifact_meets_criterion", criterion(0.899), "fail"),
    ("artifact_meets_criterion", criterion(0.99, samples=99), "insufficient"),
    ("unknown_inputs_flagged", unknown(), "pass"),
    ("unknown_inputs_flagged", unknown(shuffled=0.89), "fail"),
    ("unknown_inputs_flagged", unknown(known_low=0.101), "fail"),
    ("unknown_inputs_flagged", unknown(known_samples=0), "insufficient"),
    ("challenger_beats_champion", challenger(), "pass"),
    ("challenger_beats_champion", challenger(fresh_low=0.0), "fail"),
    ("challenger_beats_champion", challenger(test_points=-1.1), "fail"),
    ("challenger_beats_champion", challenger(fresh=49), "insufficient"),
    ("challenger_beats_champion", challenger(test=49), "insufficient"),
    ("challenger_beats_champion", NOT_COMPARED, "insufficient"),
    ("challenger_beats_champion", ChallengerEvidence("new", "old"), "insufficient"),
    ("challenger_beats_champion", ChallengerEvidence("new", ""), "pass"),
    ("challenger_beats_champion", ChallengerEvidence("same", "same"), "pass"),
    ("fits_budget", foreign(""), "pass"),
    ("fits_budget", foreign("r1"), "insufficient"),
    ("fits_budget", budget(), "pass"),
    ("fits_budget", budget(ratio_low=None), "pass"),
    ("fits_budget", budget(size_bytes=1001), "fail"),
    ("fits_budget", budget(p50_us=1001.0), "fail"),
    ("fits_budget", budget(ratio_low=1.03), "fail"),
    ("fits_budget", budget(p50_us=None, ratio_low=None), "insufficient"),
    ("fallback_tried", FallbackEvidence("m", (Drill("a", "float32", 32, 32, 0.1),)), "pass"),
    ("fallback_tried", FallbackEvidence("m", (Drill("a", "float32", 31, 32, 0.1),)), "fail"),
    ("fallback_tried", FallbackEvidence("m", (Drill("a", "float32", 0, 0, 0.1),)), "fail"),
    ("fallback_tried", FallbackEvidence("m", ()), "insufficient"),
    ("canary_healthy", CANARY, "pass"),
    ("canary_healthy", changed(CANARY, errors=2), "fail"),
    ("canary_healthy", changed(CANARY, unknown_share=0.31), "fail"),
    ("canary_healthy", changed(CANARY, p99_of_budget=1.01), "fail"),
    ("canary_healthy", changed(CANARY, self_test_passed=False, answers=0), "fail"),
    ("canary_healthy", changed(CANARY, answers=49, errors=0), "insufficient"),
    ("no_drift", DRIFT, "pass"),
    ("no_drift", changed(DRIFT, effect=0.21), "fail"),
    ("no_drift", changed(DRIFT, unknown_share=0.31), "fail"),
    ("no_drift", changed(DRIFT, effect=9.0, answers=99), "insufficient"),
    ("not_stale", StalenessEvidence("m", 30.0), "pass"),
    ("not_stale", StalenessEvidence("m", 30.1), "fail"),
]


@pytest.mark.parametrize(("gate", "evidence", "verdict"), CASES)
def test_the_verdict_turns_at_the_threshold(gate: str, evidence: msgspec.Struct, verdict: str) -> None:
    finding = find_gate(gate).judge(evidence, PROJECT)
    assert finding.verdict == Verdict(verdict)
    assert finding.value
    assert finding.threshold
    assert finding.reason


def test_the_challenger_gate_says_truly_why_it_passed() -> None:
    gate = find_gate("challenger_beats_champion")
    said = [gate.judge(ChallengerEvidence("m", champion), PROJECT).value for champion in ("", "m")]
    assert said == ["the first model", "the champion itself"]
    assert "tensorrt is not here" in gate.judge(NOT_COMPARED, PROJECT).reason


def test_a_pass_without_a_measured_latency_says_so() -> None:
    assert "latency not measured on b" in find_gate("fits_budget").judge(foreign(""), PROJECT).reason


def test_every_gate_was_seen_to_pass_and_to_fail() -> None:
    seen = {(gate, verdict) for gate, _, verdict in CASES}
    assert {g for g, v in seen if v == "pass"} == {g for g, v in seen if v == "fail"} == set(gate_names())


def test_a_project_states_its_criteria_in_words() -> None:
    stated = evidence_of(PROJECT)
    assert stated.ml == "accuracy at least 0.9"
    assert stated.business == ""


def test_without_an_ml_criterion_nothing_can_be_met() -> None:
    without = PROJECT.model_copy(update={"success": type(PROJECT.success)()})
    assert find_gate("artifact_meets_criterion").judge(criterion(1.0), without).verdict == Verdict.INSUFFICIENT
