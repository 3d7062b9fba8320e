"""What every reader needs to know beside the store: the project, the time, and the bundles of releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from edgeml.project import Project
from edgeml.server.page.views.bundles import Bundles
from edgeml_targets.contract.errors import EdgemlError

NEAR_LIMIT: Final = 0.9  # from here on a figure is said to be near its limit


class Hardware(NamedTuple):
    """A target for people: "Raspberry Pi 5" and "onnxruntime"."""

    title: str
    runtime: str


@dataclass(frozen=True)
class Scene:
    """What a view is drawn against.

    Args:
        project: Its budgets, thresholds and success criteria are the yardsticks.
        now: Seconds since 1970, UTC.
        bundles: References and class names of releases.
    """

    project: Project
    now: float
    bundles: Bundles

    def hardware(self, target: str) -> Hardware:
        """Describe a target; one that is not known here (a device of another project) keeps its name."""
        try:
            found = self.project.target(target)
        except EdgemlError:
            title, _, runtime = target.rpartition("-")
            return Hardware(title or target, runtime if title else "unknown runtime")
        title, _, last = found.title.rpartition(", ")
        return Hardware(
            title if title and last.lower().replace(" ", "") == found.runtime else found.title, found.runtime
        )

    def latency_budget_us(self, target: str) -> float | None:
        """Return a target's latency budget in microseconds, `None` where the project states none."""
        budget = self.project.budgets.get(target)
        return None if budget is None or budget.latency_ms is None else budget.latency_ms * 1000

    @property
    def accuracy_floor(self) -> float | None:
        """The accuracy, 0 to 1, that the project asks for, `None` where its criterion is another metric."""
        asked = self.project.success.ml
        return asked.threshold if asked is not None and asked.metric == "accuracy" else None
