"""The policy: when to retrain. Pure: from a situation to a step; who reads the situation and takes the step is `control`.

A monitoring gate that failed (drift, or a model grown stale) asks for a retrain. It starts once enough new labels are
there, one at a time, not while a release is being rolled out, and after a retrain that brought nothing only when time has
passed and as many labels more have come: the same data would give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeml.server.decisions import Decision

COOL_DOWN_WINDOWS: Final = 30  # window lengths between the end of a retrain that brought nothing and the next


@dataclass(frozen=True)
class Situation:
    """What the policy looks at.

    Args:
        asked_by: The alarm that asks for a retrain, its title; empty when none does.
        labels: New labelled samples that the present model's dataset does not hold.
        labels_needed: Of the project.
        running: Whether a retrain runs.
        rolling_out: Whether a release is being rolled out.
        ended_at: When the last retrain that brought no release ended, `None` when there was none for this release.
        labels_then: New labels that it had.
        cool_down_s: How long to wait after it.
        now: Seconds since 1970.
    """

    asked_by: str
    labels: int
    labels_needed: int
    running: bool
    rolling_out: bool
    now: float
    ended_at: float | None = None
    labels_then: int = 0
    cool_down_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """What to do: start a retrain or not, and what to write down, if anything."""

    retrain: bool
    decision: Decision | None


NOTHING: Final = Step(False, None)


def next_step(situation: Situation) -> Step:
    """Return what the policy does now.

    Example:
        >>> step = next_step(Situation("Noise has drifted", 120, 200, running=False, rolling_out=False, now=0.0))
        >>> step.retrain, step.decision.title, step.decision.figure
        (False, 'The retrain waits for labels', '120 of 200 new labels')
    """
    if not situation.asked_by or situation.running or situation.rolling_out:
        return NOTHING
    fresh = situation.labels - situation.labels_then
    figure = f"{fresh:,} of {situation.labels_needed:,} new labels"
    if fresh < situation.labels_needed:
        since = " since the last retrain" if situation.ended_at is not None else ""
        waits = Decision("retrain", "run", "The retrain waits for labels", figure + since, situation.asked_by)
        return Step(False, waits)
    if situation.ended_at is not None and situation.now < situation.ended_at + situation.cool_down_s:
        left_s = situation.ended_at + situation.cool_down_s - situation.now
        return Step(
            False,
            Decision("retrain", "run", "The retrain waits", f"{_span(left_s)} to go", "the last one brought nothing"),
        )
    return Step(True, Decision("retrain", "run", "A retrain runs", figure, situation.asked_by))


def _span(seconds: float) -> str:
    """Return a time to go in steps so coarse that a decision is not written anew every second."""
    return f"{max(round(seconds / 60), 1)}\u00a0min" if seconds < 5400 else f"{round(seconds / 3600)}\u00a0h"
