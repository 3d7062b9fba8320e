"""The model is better than answering the most frequent class."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

MARGIN = 0.05
LEAST_SAMPLES = 50


class BaselineEvidence(msgspec.Struct, frozen=True):
    """The model's metric and the trivial baseline's, on the same samples of the validation split."""

    model: str
    metric: str
    value: float
    baseline: float
    samples: int


def judge(evidence: BaselineEvidence, project: Project) -> Finding:
    """Pass when the model is better by `MARGIN` at least; insufficient with fewer than `LEAST_SAMPLES` samples."""
    better = evidence.value >= evidence.baseline + MARGIN
    verdict = Verdict.INSUFFICIENT if evidence.samples < LEAST_SAMPLES else Verdict.PASS if better else Verdict.FAIL
    return Finding(
        verdict,
        f"{evidence.metric} {evidence.value:.3f}",
        f"at least {evidence.baseline + MARGIN:.3f}: the baseline {evidence.baseline:.3f} and {MARGIN}",
        f"{evidence.samples:,} samples of the validation split",
    )


GATE = Gate(
    phase=Phase.ENGINEERING,
    requirement="The model beats a trivial baseline",
    risk="A model is shipped that knows no more than the class shares",
    check="validation metric against the most frequent class of the train split",
    evidence=BaselineEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
