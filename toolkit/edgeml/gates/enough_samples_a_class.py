"""Each class has enough samples to be learned and to be judged."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class SamplesEvidence(msgspec.Struct, frozen=True):
    """How many samples each class has in a dataset."""

    dataset: str
    samples_by_class: dict[str, int]


def judge(evidence: SamplesEvidence, project: Project) -> Finding:
    """Pass when the rarest class has `data.least_per_class` samples or more and there are two classes at least."""
    least = project.data.least_per_class
    counts = evidence.samples_by_class
    rarest = min(counts, key=counts.__getitem__, default="")
    holds = len(counts) >= 2 and counts[rarest] >= least
    reason = f"the rarest class is {rarest!r}" if len(counts) >= 2 else "there are fewer than two classes"
    return Finding(
        Verdict.PASS if holds else Verdict.FAIL,
        f"{counts.get(rarest, 0)} samples",
        f"at least {least} samples a class",
        reason,
    )


GATE = Gate(
    phase=Phase.UNDERSTANDING,
    requirement="Each class has enough samples",
    risk="A rare class is never learned, and its failure is never seen",
    check="samples of the rarest class, all splits together",
    evidence=SamplesEvidence,
    judge=judge,
    back_to=Phase.UNDERSTANDING,
)
