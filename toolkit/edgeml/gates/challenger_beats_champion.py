"""A challenger replaces the champion only where it is better on fresh labels and not worse on what was known."""

from __future__ import annotations

import msgspec

from edgeml.figures import signed
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

MOST_LOST_POINTS = 1.0  # on the test split: what a challenger may forget
LEAST_FRESH = 50


class ChallengerEvidence(msgspec.Struct, frozen=True):
    """Compressed challenger against compressed champion, on the same samples, in points (a point is 0.01).

    Args:
        challenger, champion: Model ids; an empty champion means that there is none yet.
        fresh: Freshly labelled samples that neither was trained on.
        fresh_points, fresh_low, fresh_high: Challenger minus champion on them, with the paired 95 % interval.
        test: Samples of the test split.
        test_points, test_low, test_high: The same on the test split.
    """

    challenger: str
    champion: str
    fresh: int
    fresh_points: float
    fresh_low: float
    fresh_high: float
    test: int
    test_points: float
    test_low: float
    test_high: float


def judge(evidence: ChallengerEvidence, project: Project) -> Finding:
    """Pass when the interval on fresh labels lies above 0 and the test split loses a point at most."""
    threshold = f"above 0 on fresh labels, at most {MOST_LOST_POINTS:g} point lost on the test split"
    if not evidence.champion:
        return Finding(Verdict.PASS, "the first model", threshold, "there is no champion to beat")
    fresh = f"{signed(evidence.fresh_points)} points ({signed(evidence.fresh_low)} to {signed(evidence.fresh_high)})"
    test = f"{signed(evidence.test_points)} points ({signed(evidence.test_low)} to {signed(evidence.test_high)})"
    if evidence.fresh < LEAST_FRESH:
        reason = f"{evidence.fresh} fresh labels, {LEAST_FRESH} are needed"
        return Finding(Verdict.INSUFFICIENT, fresh, threshold, reason)
    holds = evidence.fresh_low > 0 and evidence.test_points >= -MOST_LOST_POINTS
    reason = f"{fresh} on {evidence.fresh:,} fresh labels, {test} on {evidence.test:,} of the test split"
    return Finding(Verdict.PASS if holds else Verdict.FAIL, fresh, threshold, reason)


GATE = Gate(
    phase=Phase.EVALUATION,
    requirement="The challenger beats the champion",
    risk="A retrain makes the fleet worse, or forgets what it knew",
    check="paired difference of the compressed artifacts on fresh labels and on the test split",
    evidence=ChallengerEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
