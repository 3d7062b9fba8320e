"""Success is stated on three levels before anything is built: business, ML, economic."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

LEVELS = ("business", "ml", "economic")


class CriteriaEvidence(msgspec.Struct, frozen=True):
    """What the project file states: scope, and a criterion a level in words, empty where there is none."""

    scope: str
    business: str
    ml: str
    economic: str


def evidence_of(project: Project) -> CriteriaEvidence:
    """Read the criteria off the project file."""
    stated = {
        level: f"{c.metric} {c.direction} {c.threshold:g}" if (c := getattr(project.success, level)) is not None else ""
        for level in LEVELS
    }
    return CriteriaEvidence(scope=project.scope.strip(), **stated)


def judge(evidence: CriteriaEvidence, project: Project) -> Finding:
    """Pass when scope and all three levels are stated."""
    missing = [level for level in ("scope", *LEVELS) if not getattr(evidence, level)]
    stated = len(LEVELS) - len([m for m in missing if m != "scope"])
    reason = (
        f"edgeml.toml states no {' and no '.join(missing)}"
        if missing
        else "; ".join(f"{level}: {getattr(evidence, level)}" for level in LEVELS)
    )
    return Finding(
        Verdict.FAIL if missing else Verdict.PASS, f"{stated} of 3 levels", "3 of 3 levels and a scope", reason
    )


GATE = Gate(
    phase=Phase.UNDERSTANDING,
    requirement="Scope and success criteria are stated on three levels",
    risk="A model is built that nobody can say is good enough, or worth its price",
    check="edgeml.toml names scope, business, ml and economic criteria, each with metric and threshold",
    evidence=CriteriaEvidence,
    judge=judge,
    back_to=Phase.UNDERSTANDING,
)
