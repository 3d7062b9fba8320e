"""Verdicts reach the ledger, failures stop the chain, waivers need a name and a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml import lifecycle
from edgeml.gates import Phase, Verdict, all_gates
from edgeml.gates.canary_healthy import CanaryEvidence
from edgeml.gates.no_sample_in_two_splits import SplitsEvidence
from edgeml.gates.not_stale import StalenessEvidence
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError, GateFailed

SPLITS = {"train": 10, "calibration": 2, "validation": 2, "test": 2, "golden": 1}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(
        root=tmp_path,
        name="scratch",
        scope="test",
        targets=("x86_64-onnxruntime",),
        data={"source": "images"},  # type: ignore[arg-type]  # pydantic reads the table
    )


def test_each_phase_has_a_gate_and_each_gate_says_what_it_is() -> None:
    gates = all_gates()
    assert {gate.phase for gate in gates} == set(Phase)
    assert all(gate.requirement and gate.risk and gate.check for gate in gates)


def test_a_verdict_stands_in_the_status_and_the_rest_is_pending(project: Project) -> None:
    lifecycle.record(project, "not_stale", StalenessEvidence("m", 1.0), subject="m")
    phases = {p.phase: p for p in lifecycle.status(project).phases}
    assert list(phases) == list(Phase)
    gates = {g.gate: g.verdict for g in phases[Phase.MONITORING].gates}
    assert gates == {"not_stale": Verdict.PASS, "no_drift": Verdict.PENDING}
    assert phases[Phase.MONITORING].verdict == Verdict.PENDING


def test_a_failed_gate_stops_the_chain_and_names_the_phase_to_go_back_to(project: Project) -> None:
    failed = lifecycle.record(project, "no_sample_in_two_splits", SplitsEvidence("d", SPLITS, 3), subject="d")
    with pytest.raises(GateFailed, match="go back to data_preparation") as caught:
        lifecycle.require([failed])
    assert caught.value.exit_code == 1


def test_only_an_insufficient_verdict_can_be_waived_and_the_waiver_holds_for_its_subject(project: Project) -> None:
    canary = CanaryEvidence(
        release="r1",
        devices=("a",),
        answers=1,
        errors=0,
        unknown_share=0.0,
        p99_of_budget=None,
        self_test_passed=True,
    )
    with pytest.raises(EdgemlError, match="not asked"):
        lifecycle.waive(project, "canary_healthy", reason="because")
    few = lifecycle.record(project, "canary_healthy", canary, subject="r1")
    with pytest.raises(GateFailed, match="insufficient"):
        lifecycle.require([few])
    with pytest.raises(EdgemlError, match="reason"):
        lifecycle.waive(project, "canary_healthy", reason=" ")
    waived = lifecycle.waive(project, "canary_healthy", reason="one device exists", by="ada")
    assert (waived.verdict, waived.by, waived.evidence) == (Verdict.WAIVED, "ada", few.evidence)
    again = lifecycle.record(project, "canary_healthy", canary, subject="r1")
    assert (again.verdict, again.reason, again.by) == (Verdict.WAIVED, "one device exists", "ada")
    lifecycle.require([again])
    other = lifecycle.record(project, "canary_healthy", canary, subject="r2")
    assert other.verdict == Verdict.INSUFFICIENT
    assert lifecycle.verify(project, {}).faults == ()


def test_evidence_of_another_gate_is_a_bug(project: Project) -> None:
    with pytest.raises(TypeError):
        lifecycle.record(project, "no_drift", StalenessEvidence("m", 1.0), subject="m")


def test_the_project_file_waives_by_name_and_reason_what_is_insufficient_and_nothing_that_fails(
    project: Project,
) -> None:
    waiving = project.model_copy(update={"waivers": {"no_sample_in_two_splits": "the set is tiny"}})
    empty = {**SPLITS, "test": 0}
    said = lifecycle.record(waiving, "no_sample_in_two_splits", SplitsEvidence("d", empty, 0), subject="d")
    assert (said.verdict, said.by, said.reason) == (Verdict.WAIVED, "edgeml.toml", "the set is tiny")
    lifecycle.require([said])
    failed = lifecycle.record(waiving, "no_sample_in_two_splits", SplitsEvidence("d", SPLITS, 1), subject="d")
    assert failed.verdict == Verdict.FAIL
