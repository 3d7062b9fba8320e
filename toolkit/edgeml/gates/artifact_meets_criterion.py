"""The compressed artifact, not the float model, meets the ML criterion, on every target."""

from __future__ import annotations

import msgspec

from edgeml.figures import percent
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

LEAST_SAMPLES = 100


class ArtifactAccuracy(msgspec.Struct, frozen=True):
    """An artifact's accuracy on held-back samples, shares of 1, with its 95 % interval."""

    target: str
    candidate: str
    accuracy: float
    low: float
    high: float


class CriterionEvidence(msgspec.Struct, frozen=True):
    """The accuracies of all artifacts of one model on the same held-back samples."""

    model: str
    samples: int
    artifacts: tuple[ArtifactAccuracy, ...]


def judge(evidence: CriterionEvidence, project: Project) -> Finding:
    """Pass when the worst artifact reaches the ML criterion: the point estimate decides, the interval is told."""
    if project.success.ml is None or not evidence.artifacts:
        return Finding(Verdict.INSUFFICIENT, "—", "—", "no ML criterion is stated, or nothing was evaluated")
    worst = min(evidence.artifacts, key=lambda a: a.accuracy)
    threshold = project.success.ml.threshold
    verdict = Verdict.PASS if worst.accuracy >= threshold else Verdict.FAIL
    return Finding(
        Verdict.INSUFFICIENT if evidence.samples < LEAST_SAMPLES else verdict,
        percent(worst.accuracy),
        f"at least {percent(threshold)}",
        f"worst of {len(evidence.artifacts)}: {worst.target} {worst.candidate}, "
        f"95 % interval {percent(worst.low)} to {percent(worst.high)}, {evidence.samples:,} samples",
    )


GATE = Gate(
    phase=Phase.EVALUATION,
    requirement="The compressed artifact meets the ML criterion",
    risk="Compression spends the accuracy that the float model had",
    check="accuracy of each target's artifact on the test split",
    evidence=CriterionEvidence,
    judge=judge,
    back_to=Phase.ENGINEERING,
)
