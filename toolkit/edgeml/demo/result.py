"""What the demo measured: the document `edgeml.demo/1`."""

from __future__ import annotations

from typing import Final

import msgspec

from edgeml.lifecycle import PhaseStatus
from edgeml_compress.results import TargetResult

SCHEMA: Final = "edgeml.demo/1"


class Accuracies(msgspec.Struct, frozen=True):
    """Shares of right answers, 0 to 1: what the agents answered, and the challenger's own on the host."""

    clean: float
    corrupted: float
    recovered: float
    challenger: float


class Scene(msgspec.Struct, frozen=True):
    """One of the three measured scenes.

    Args:
        name: `clean`, `corrupted` or `recovered`.
        right, answers: How many answers were right, of how many.
        low, high: The 95 % interval of the share (Wilson).
        release: What the agents ran.
        at_s: When it was measured, seconds after the start.
    """

    name: str
    right: int
    answers: int
    low: float
    high: float
    release: str
    at_s: float

    @property
    def share(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.right / self.answers


class AgentState(msgspec.Struct, frozen=True):
    """An agent at the end."""

    device: str
    target: str
    release: str


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """What the demo measured; every figure comes from its own run.

    Args:
        seconds: How long it took.
        accuracy: The four accuracies.
        answers: The fewest answers that an accuracy rests on.
        quiet_windows: Windows judged before the corruption, none of which raised an alarm.
        quiet_alarms: Alarms raised before the corruption.
        corruption_at_s, alarm_at_s: Seconds after the start.
        release_before, release_after: What the agents ran first and last.
        agents: The agents at the end.
        artifacts: The first release's artifacts, as in `edgeml.compress/1`.
        phases: The six phases at the end, as in `edgeml.lifecycle/1`.
        report: The HTML report's file.
        scenes: What the three accuracies rest on.
        page: The fleet page's address.
    """

    schema: str = SCHEMA
    seconds: float
    accuracy: Accuracies
    answers: int
    quiet_windows: int
    quiet_alarms: int
    corruption_at_s: float
    alarm_at_s: float
    release_before: str
    release_after: str
    agents: tuple[AgentState, ...]
    artifacts: tuple[TargetResult, ...]
    phases: tuple[PhaseStatus, ...]
    report: str
    scenes: tuple[Scene, ...]
    page: str
