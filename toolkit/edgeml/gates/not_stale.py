"""The model was made or judged recently enough."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class StalenessEvidence(msgspec.Struct, frozen=True):
    """The age in days of the model that the fleet runs."""

    model: str
    age_days: float


def judge(evidence: StalenessEvidence, project: Project) -> Finding:
    """Pass while the model is younger than `fleet.stale_days`."""
    limit = project.fleet.stale_days
    verdict = Verdict.PASS if evidence.age_days <= limit else Verdict.FAIL
    return Finding(verdict, f"{evidence.age_days:.1f} days", f"at most {limit:g} days", f"model {evidence.model}")


GATE = Gate(
    phase=Phase.MONITORING,
    requirement="The model is not stale",
    risk="A model ages unseen because nothing alarms",
    check="days since the model was made",
    evidence=StalenessEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
