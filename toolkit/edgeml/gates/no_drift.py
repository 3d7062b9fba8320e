"""What devices see still looks like what the artifact was judged on."""

from __future__ import annotations

import msgspec

from edgeml.figures import percent
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class DriftEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A span of windows against the reference of their release.

    Args:
        release: What ran.
        windows, answers: What the span rests on.
        feature: The feature with the largest effect over its limit.
        effect, limit: Its bias-corrected population stability index, and the limit at this number of answers.
        unknown_share: Share of inputs flagged as unknown, 0 to 1.
    """

    release: str
    windows: int
    answers: int
    feature: str
    effect: float
    limit: float
    unknown_share: float


def judge(evidence: DriftEvidence, project: Project) -> Finding:
    """Pass when effect and unknown share keep their limits; insufficient with too few answers."""
    drifted = evidence.effect > evidence.limit or evidence.unknown_share > project.fleet.unknown_limit
    few = evidence.answers < project.fleet.drift_samples
    return Finding(
        Verdict.INSUFFICIENT if few else Verdict.FAIL if drifted else Verdict.PASS,
        f"{evidence.feature} {evidence.effect:.2f} PSI, unknown {percent(evidence.unknown_share)}",
        f"at most {evidence.limit:.2f} PSI, unknown {percent(project.fleet.unknown_limit, 0)}",
        f"{evidence.answers:,} answers in {evidence.windows} windows under {evidence.release}",
    )


GATE = Gate(
    phase=Phase.MONITORING,
    requirement="Inputs and answers have not drifted",
    risk="The world has moved and the model answers for one that is gone",
    check="bias-corrected PSI of each feature and the share of unknown inputs, two spans in a row",
    evidence=DriftEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
