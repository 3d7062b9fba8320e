"""No sample stands in two splits, not even as a copy with other metadata."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class SplitsEvidence(msgspec.Struct, frozen=True):
    """How many samples each split has, and how many contents were found in more than one split."""

    dataset: str
    samples_by_split: dict[str, int]
    in_two_splits: int


def judge(evidence: SplitsEvidence, project: Project) -> Finding:
    """Pass when no content is in two splits; insufficient when a split that judges is empty."""
    sizes = evidence.samples_by_split
    empty = [name for name in ("train", "calibration", "validation", "test", "golden") if not sizes.get(name)]
    verdict = Verdict.FAIL if evidence.in_two_splits else Verdict.INSUFFICIENT if empty else Verdict.PASS
    reason = f"empty: {', '.join(empty)}" if empty else ", ".join(f"{name} {n:,}" for name, n in sizes.items())
    return Finding(verdict, f"{evidence.in_two_splits} samples in two splits", "0", reason)


GATE = Gate(
    phase=Phase.PREPARATION,
    requirement="No sample is in two splits",
    risk="The test split repeats the training data, and accuracy is a memory test",
    check="contents hashed, compared between all splits",
    evidence=SplitsEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
