"""The way back was walked before it is needed: from the new bundle to the one that is to be fallen back to."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class Drill(msgspec.Struct, frozen=True):
    """One target's drill: the new bundle was loaded, given up, and the fallback answered its golden samples.

    Args:
        fallback: The candidate and model fallen back to; of a first release the float one.
        right, golden: Golden answers that agreed, of how many.
        seconds: From giving up to the first right answer.
    """

    target: str
    fallback: str
    right: int
    golden: int
    seconds: float


class FallbackEvidence(msgspec.Struct, frozen=True):
    """The drills of all targets whose runtime is here."""

    model: str
    drills: tuple[Drill, ...]


def judge(evidence: FallbackEvidence, project: Project) -> Finding:
    """Pass when each fallback answered all its golden samples as before."""
    if not evidence.drills:
        return Finding(Verdict.INSUFFICIENT, "no drill", "every golden answer agrees", "no target's runtime is here")
    worst = min(evidence.drills, key=lambda d: d.right / max(d.golden, 1))
    slowest = max(d.seconds for d in evidence.drills)
    holds = all(d.golden and d.right == d.golden for d in evidence.drills)
    return Finding(
        Verdict.PASS if holds else Verdict.FAIL,
        f"{worst.right} of {worst.golden} golden answers, {slowest:.1f} s",
        "every golden answer agrees",
        f"{worst.target} back to {worst.fallback}; {len(evidence.drills)} targets tried",
    )


GATE = Gate(
    phase=Phase.DEPLOYMENT,
    requirement="The fallback was tried",
    risk="The way back fails on the day it is needed",
    check="new bundle loaded and given up, the fallback's golden answers compared",
    evidence=FallbackEvidence,
    judge=judge,
    back_to=Phase.DEPLOYMENT,
)
