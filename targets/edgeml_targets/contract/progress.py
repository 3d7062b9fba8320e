"""What a long call tells while it works. The CLI draws it; a script that passes nothing hears nothing."""

from __future__ import annotations

from typing import Final, Protocol


class Progress(Protocol):
    """Told by a long call, in this order: `begin`, any number of `advance`, `end`; and again for the next step."""

    def begin(self, step: str) -> None:
        """A step begins; `step` is a past participle or a noun that a line can start with: "Calibrated"."""

    def advance(self, done: float, of: float, text: str = "") -> None:
        """`done` of `of` is done; `text` says what is happening: "epoch 6 of 9, loss 0.31"."""

    def end(self, result: str, *, warning: bool = False) -> None:
        """The step ended; `result` is what came out: "3,333 samples"."""


class _Silent:
    def begin(self, step: str) -> None:
        """Say nothing."""

    def advance(self, done: float, of: float, text: str = "") -> None:
        """Say nothing."""

    def end(self, result: str, *, warning: bool = False) -> None:
        """Say nothing."""


SILENT: Final[Progress] = _Silent()
