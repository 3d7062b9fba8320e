"""What is no input at all is flagged as unknown: noise, constants, shuffled samples."""

from __future__ import annotations

import msgspec

from edgeml.figures import percent
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

LEAST_FLAGGED = 0.9
MOST_VALIDATION = 0.07  # the threshold is set at 5 %; a quantile of some hundred samples may miss that by a little


class UnknownEvidence(msgspec.Struct, frozen=True):
    """Shares of inputs that the bundle's score flags, each 0 to 1, over so many samples of each kind."""

    model: str
    samples: int
    noise: float
    constant: float
    shuffled: float
    validation: float


def judge(evidence: UnknownEvidence, project: Project) -> Finding:
    """Pass when each kind is flagged at 90 % or more and validation at little more than 5 %."""
    kinds = {kind: getattr(evidence, kind) for kind in ("noise", "constant", "shuffled")}
    worst = min(kinds, key=kinds.__getitem__)
    holds = kinds[worst] >= LEAST_FLAGGED and evidence.validation <= MOST_VALIDATION
    return Finding(
        Verdict.PASS if holds else Verdict.FAIL,
        f"{percent(kinds[worst])} ({worst}), validation {percent(evidence.validation)}",
        f"at least {percent(LEAST_FLAGGED, 0)}, validation at most {percent(MOST_VALIDATION, 0)}",
        ", ".join(f"{kind} {percent(share)}" for kind, share in kinds.items()) + f" of {evidence.samples} each",
    )


GATE = Gate(
    phase=Phase.EVALUATION,
    requirement="Inputs that are none are flagged as unknown",
    risk="A covered lens or a broken sensor gets confident answers",
    check="share of noise, constant and shuffled inputs beyond the threshold that flags 5 % of validation",
    evidence=UnknownEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
