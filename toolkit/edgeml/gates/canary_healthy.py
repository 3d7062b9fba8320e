"""The release did well on a few devices before it goes to all."""

from __future__ import annotations

import msgspec

from edgeml.figures import percent
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

MOST_ERRORS = 0.01


class CanaryEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """How a release did on its canary devices.

    Args:
        release: The release.
        devices: The canary devices.
        answers, errors: What they answered and refused under it.
        unknown_share: Share of inputs flagged as unknown, 0 to 1.
        p99_of_budget: The p99 latency over the target's latency budget, the worst device; `None` without a budget.
        self_test_passed: Whether every canary passed its self-test.
    """

    release: str
    devices: tuple[str, ...]
    answers: int
    errors: int
    unknown_share: float
    p99_of_budget: float | None
    self_test_passed: bool


def judge(evidence: CanaryEvidence, project: Project) -> Finding:
    """Pass when self-tests passed and errors, unknown inputs and latency keep their limits; insufficient with few answers."""
    needed = project.fleet.canary_answers
    error_share = evidence.errors / max(evidence.answers + evidence.errors, 1)
    faults = [
        fault
        for fault, broken in {
            "a self-test failed": not evidence.self_test_passed,
            f"errors {percent(error_share)}, limit {percent(MOST_ERRORS)}": error_share > MOST_ERRORS,
            f"unknown {percent(evidence.unknown_share)}, limit {percent(project.fleet.unknown_limit)}": (
                evidence.unknown_share > project.fleet.unknown_limit
            ),
            "p99 latency over its budget": evidence.p99_of_budget is not None and evidence.p99_of_budget > 1,
        }.items()
        if broken
    ]
    few = evidence.answers < needed
    return Finding(
        Verdict.FAIL if faults else Verdict.INSUFFICIENT if few else Verdict.PASS,
        f"{evidence.answers:,} answers, {evidence.errors} errors, unknown {percent(evidence.unknown_share)}",
        f"{needed:,} answers, errors {percent(MOST_ERRORS, 0)}, unknown {percent(project.fleet.unknown_limit, 0)}",
        "; ".join(faults) or f"{evidence.release} on {', '.join(evidence.devices)}",
    )


GATE = Gate(
    phase=Phase.DEPLOYMENT,
    requirement="The canary is healthy",
    risk="A release that fails in the field fails everywhere at once",
    check="self-test, errors, unknown inputs and p99 latency of the canary devices",
    evidence=CanaryEvidence,
    judge=judge,
    back_to=Phase.EVALUATION,
)
