"""The rollouts page: the present one in full, and all there were."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from edgeml.server.page.views.overview import Verdict
from edgeml.server.page.views.pages import Page
from edgeml.server.page.views.rollouts import PAGE, Rollout, devices_in_words, read_current, read_page
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.words import counted


@dataclass(frozen=True)
class Rollouts:
    """All that the page shows."""

    verdict: Verdict
    current: Rollout | None
    past: tuple[Rollout, ...]
    page: Page


def read_rollouts(connection: sa.Connection, scene: Scene, number: int) -> Rollouts:
    """Read the present rollout and one page of all."""
    current = read_current(connection, scene)
    past, total = read_page(connection, scene, number)
    return Rollouts(verdict(current), current, past, Page(number, PAGE, total, lambda n: f"/rollouts?page={n}"))


def verdict(rollout: Rollout | None) -> Verdict:
    """Say in words where the present rollout stands: pure."""
    if rollout is None:
        return Verdict("never", "No rollout yet", "A release goes to a few canaries first, then to the fleet.", "")
    name, fleet = rollout.release, rollout.stages[-1]
    if rollout.paused:
        return Verdict(
            "wait",
            f"{name} is paused on {counted(rollout.devices_on, 'device')}",
            "No other device gets it.",
            "Go on or roll back.",
        )
    if rollout.running and rollout.at < len(rollout.stages) - 1:
        stage = rollout.stages[rollout.at]
        failed = [g for g in rollout.gates if g.status == "bad"]
        held = sum(g.status == "ok" for g in rollout.gates)
        lead = f"{held} of {counted(len(rollout.gates), 'gate')} hold so far. " if rollout.gates else ""
        after = f"When all hold it goes to {counted(fleet.devices, 'device')}; a failed one takes it back to {rollout.previous}."
        return Verdict(
            "warn" if failed else "run", f"{name} is in canary on {devices_in_words(stage)}", lead + after, ""
        )
    if rollout.running:
        return Verdict(
            "run",
            f"{name} runs on {fleet.done:,} of {counted(fleet.devices, 'device')}",
            "Each switches when it next connects.",
            "",
        )
    if rollout.status == "bad":
        return Verdict("bad", f"{name} was stopped", rollout.reason, "Mend the model and release it anew.")
    return Verdict(
        "ok", f"{name} runs on {fleet.done:,} of {counted(fleet.devices, 'device')}", "The rollout is done.", ""
    )
