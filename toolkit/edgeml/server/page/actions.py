"""What a person can do from the page. The server brings the deeds; the page asks before each."""

from __future__ import annotations

from typing import Protocol

from edgeml_targets.contract.errors import EdgemlError


class Actions(Protocol):
    """Deeds of the server, called in a worker thread; each raises an `EdgemlError` that says why it could not be done."""

    def pause(self) -> None:
        """Hold the rollout where it is."""

    def resume(self) -> None:
        """Let a paused rollout go on."""

    def roll_back(self) -> None:
        """Take every device back to the release before."""

    def retrain(self) -> None:
        """Start a retrain now."""


class NoActions:
    """A page that can only look: `edgeml serve` was not the one that mounted it."""

    def pause(self) -> None:
        """Refuse."""
        raise _refusal("pause")

    def resume(self) -> None:
        """Refuse."""
        raise _refusal("resume")

    def roll_back(self) -> None:
        """Refuse."""
        raise _refusal("roll back")

    def retrain(self) -> None:
        """Refuse."""
        raise _refusal("retrain")


def _refusal(deed: str) -> EdgemlError:
    return EdgemlError("this page can only look", where=deed, mend="open the page of edgeml serve")
