"""What is no input at all is flagged as unknown: noise, constants, shuffled samples; and what is one is not."""

from __future__ import annotations

import msgspec

from edgeml.figures import percent
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project

LEAST_FLAGGED = 0.9
MOST_KNOWN = 0.1  # the threshold is set to flag 5 % of the reference samples; others lie a little further out


class TargetFlags(msgspec.Struct, frozen=True):
    """Shares of inputs that one target's reference flags, each 0 to 1.

    Args:
        target: The target.
        noise, constant, shuffled: Of what is no input.
        known: Of samples that the threshold was not set on, with `known_low`, the lower end of its 95 % interval.
        known_samples: How many those are.
    """

    target: str
    noise: float
    constant: float
    shuffled: float
    known: float
    known_low: float
    known_samples: int


class UnknownEvidence(msgspec.Struct, frozen=True):
    """What each target's reference flags, over so many samples of each kind that is no input."""

    model: str
    samples: int
    targets: tuple[TargetFlags, ...]


def judge(evidence: UnknownEvidence, project: Project) -> Finding:
    """Pass when on every target each kind is flagged at 90 % or more, and known inputs not surely above 10 %."""
    threshold = f"at least {percent(LEAST_FLAGGED, 0)}, known inputs not surely above {percent(MOST_KNOWN, 0)}"
    if not evidence.targets or min(t.known_samples for t in evidence.targets) == 0:
        return Finding(Verdict.INSUFFICIENT, "not measured", threshold, "no known inputs to measure with")
    worst = min(evidence.targets, key=lambda t: (_holds(t), _least(t)[1]))
    kind, share = _least(worst)
    shares = ", ".join(f"{kind} {percent(s)}" for kind, s in _kinds(worst).items())
    return Finding(
        Verdict.PASS if _holds(worst) else Verdict.FAIL,
        f"{worst.target}: {percent(share)} ({kind}), known inputs {percent(worst.known)}",
        threshold,
        f"{shares} of {evidence.samples} each; {percent(worst.known)} of {worst.known_samples:,} known inputs",
    )


def _kinds(found: TargetFlags) -> dict[str, float]:
    return {"noise": found.noise, "constant": found.constant, "shuffled": found.shuffled}


def _least(found: TargetFlags) -> tuple[str, float]:
    return min(_kinds(found).items(), key=lambda item: item[1])


def _holds(found: TargetFlags) -> bool:
    return _least(found)[1] >= LEAST_FLAGGED and found.known_low <= MOST_KNOWN


GATE = Gate(
    phase=Phase.EVALUATION,
    requirement="Inputs that are none are flagged as unknown",
    risk="A covered lens or a broken sensor gets confident answers",
    check="share of noise, constant and shuffled inputs beyond the threshold, and of known inputs that did not set it",
    evidence=UnknownEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
