"""A challenger replaces the champion only where it is better on fresh labels and not worse on what was known."""

from __future__ import annotations

import msgspec

from edgeml.figures import signed
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import LEAST_FRESH, Project

MOST_LOST_POINTS = 1.0  # on the test split: what a challenger may forget
LEAST_TEST = 50
WORST_FIRST = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS)


class TargetComparison(msgspec.Struct, frozen=True):
    """One target's compressed challenger against its compressed champion, in points (a point is 0.01).

    Args:
        target: The target.
        fresh: Freshly labelled samples that neither was trained, calibrated or chosen on.
        fresh_points, fresh_low, fresh_high: Challenger minus champion on them, with the paired 95 % interval.
        test: Samples of the test split that neither learned from.
        test_points, test_low, test_high: The same on the test split.
    """

    target: str
    fresh: int
    fresh_points: float
    fresh_low: float
    fresh_high: float
    test: int
    test_points: float
    test_low: float
    test_high: float


class ChallengerEvidence(msgspec.Struct, frozen=True):
    """The challenger against the champion on every target that both have and that can be run here.

    Args:
        challenger, champion: Model ids; an empty champion means that there is none yet.
        targets: What was compared.
        notes: What could not be compared or left out, and why.
    """

    challenger: str
    champion: str
    targets: tuple[TargetComparison, ...] = ()
    notes: tuple[str, ...] = ()


def judge(evidence: ChallengerEvidence, project: Project) -> Finding:
    """Pass when on every target the interval on fresh labels lies above 0 and the test split loses a point at most."""
    threshold = f"above 0 on fresh labels, at most {MOST_LOST_POINTS:g} point lost on the test split, on every target"
    if not evidence.champion:
        return Finding(Verdict.PASS, "the first model", threshold, "there is no champion to beat")
    if evidence.champion == evidence.challenger:
        return Finding(Verdict.PASS, "the champion itself", threshold, "the model that runs is released again")
    if not evidence.targets:
        reason = "; ".join(evidence.notes) or "the champion has none of the challenger's targets"
        return Finding(Verdict.INSUFFICIENT, "not compared", threshold, reason)
    judged = [(t, *_judge_one(t)) for t in evidence.targets]
    worst, verdict, reason = min(judged, key=lambda j: (WORST_FIRST.index(j[1]), j[0].fresh_low, j[0].test_points))
    return Finding(verdict, f"{worst.target}: {_fresh(worst)}", threshold, "; ".join([reason, *evidence.notes]))


def _judge_one(found: TargetComparison) -> tuple[Verdict, str]:
    if found.fresh < LEAST_FRESH:
        return Verdict.INSUFFICIENT, f"{found.fresh} fresh labels, {LEAST_FRESH} are needed"
    if found.test < LEAST_TEST:
        what = f"{found.test} samples of the test split that the champion did not learn from"
        return Verdict.INSUFFICIENT, f"{what}, {LEAST_TEST} are needed"
    test = f"{signed(found.test_points)} points ({signed(found.test_low)} to {signed(found.test_high)})"
    holds = found.fresh_low > 0 and found.test_points >= -MOST_LOST_POINTS
    reason = f"{_fresh(found)} on {found.fresh:,} fresh labels, {test} on {found.test:,} of the test split"
    return Verdict.PASS if holds else Verdict.FAIL, reason


def _fresh(found: TargetComparison) -> str:
    return f"{signed(found.fresh_points)} points ({signed(found.fresh_low)} to {signed(found.fresh_high)})"


GATE = Gate(
    phase=Phase.EVALUATION,
    requirement="The challenger beats the champion",
    risk="A retrain makes the fleet worse, or forgets what it knew",
    check="paired difference of the compressed artifacts on the fresh and the test split, the worst target counts",
    evidence=ChallengerEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
