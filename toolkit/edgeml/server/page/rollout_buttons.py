"""The buttons of a rollout: pause or go on, and roll back; each asks first."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from edgeml.server.page.confirm import Question, ask_and_do
from edgeml.server.page.site import Site
from edgeml.server.page.views.rollouts import Rollout
from edgeml.server.page.words import counted


class RolloutButtons:
    """Two buttons that follow a rollout; nothing is shown where there is nothing to do."""

    def __init__(self, site: Site) -> None:
        self._site, self._rollout = site, None  # type: tuple[Site, Rollout | None]
        with ui.element("div").classes("actions") as self._row:
            self._hold = _button("Pause", self._ask_hold)
            self._back = _button("Roll back", self._ask_back).classes("danger")

    def show(self, rollout: Rollout | None) -> None:
        """Follow what became of the rollout."""
        self._rollout = rollout
        running = rollout is not None and rollout.running
        self._row.set_visibility(rollout is not None and (running or bool(rollout.previous)))
        if rollout is None:
            return
        self._hold.set_visibility(running)
        self._hold.set_text("Go on" if rollout.paused else "Pause")
        self._back.set_visibility(bool(rollout.previous) and rollout.status != "bad")
        self._back.set_text(f"Roll back to {rollout.previous}")

    async def _ask_hold(self) -> None:
        rollout = self._rollout
        if rollout is None:
            return
        name, on = rollout.release, counted(rollout.devices_on, "device")
        if rollout.paused:
            question = Question(
                f"Go on with {name}?",
                f"{name} runs on {on}; the stage goes on where it was held.",
                "Keep it paused",
                "Go on",
            )
            await ask_and_do(self._site, question, self._site.actions.resume)
        else:
            question = Question(
                f"Pause the rollout of {name}?",
                f"{name} stays on {on}; no other device gets it until someone goes on. No window is lost.",
                "Keep it running",
                "Pause",
            )
            await ask_and_do(self._site, question, self._site.actions.pause)

    async def _ask_back(self) -> None:
        rollout = self._rollout
        if rollout is None:
            return
        on = counted(rollout.devices_on, "device")
        window = f"{self._site.project.fleet.window_s:g}\u00a0s"
        question = Question(
            f"Roll back {on} to {rollout.previous}?",
            f"{rollout.release} stops on {on} and the rollout ends. Each device switches within seconds of hearing of it"
            f" and says so with its next window, at most {window} later. No window is lost.",
            f"Keep {rollout.release}",
            f"Roll back to {rollout.previous}",
            danger=True,
        )
        await ask_and_do(self._site, question, self._site.actions.roll_back)


def _button(text: str, then: Callable[[], object]) -> ui.button:
    button = ui.button(text, color=None, on_click=then)
    return button.props("flat no-caps").classes("btn")
