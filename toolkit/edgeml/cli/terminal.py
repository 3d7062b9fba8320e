"""How the terminal looks: steps, tables and errors on standard error, data on standard output.

Colours are the terminal's own 16; nothing is told by colour alone. In a pipe a step is one plain line when it ends.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from edgeml.lifecycle import Status

VERB_WIDTH: Final = 10
WIDTH: Final = 100
STYLES: Final = {"ok": "green", "warn": "yellow", "bad": "red", "run": "blue", "off": "bright_black"}
PLAIN: Final = {"ok": "[ok]", "warn": "[!]", "bad": "[x]", "run": "*", "off": "-"}
DRAWN: Final = {"ok": "✓", "warn": "!", "bad": "✗", "run": "•", "off": "•"}
OF_VERDICT: Final = {"pass": "ok", "fail": "bad", "insufficient": "warn", "waived": "warn", "pending": "run"}


def say_error(message: str) -> None:
    """Print one line: `error: WHERE: WHAT; HOW TO MEND`."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    word = "\x1b[1;31merror:\x1b[0m" if coloured else "error:"
    sys.stderr.write(f"{word} {message}\n")


def mark(status: str) -> str:
    """Return the mark of a status (`ok`, `warn`, `bad`, `run`, `off`: not here, and no fault) in this terminal's encoding."""
    return (DRAWN if (sys.stderr.encoding or "").lower().startswith("utf") else PLAIN)[status]


@functools.cache
def console() -> Console:
    """Return the one console for talk, on standard error."""
    from rich.console import Console

    found = Console(stderr=True, highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(stderr=True, highlight=False, width=WIDTH)


class Steps:
    """Draws a long call's progress: a bar while a step runs, one line when it ended."""

    def __init__(self) -> None:
        self._verb, self._began, self._bar = "", 0.0, None  # type: tuple[str, float, Bar | None]

    def begin(self, step: str) -> None:
        """Start a step's line."""
        self._stop_bar()
        self._verb, self._began = step, time.monotonic()

    def advance(self, done: float, of: float, text: str = "") -> None:
        """Move the bar; in a pipe say nothing."""
        if not console().is_terminal:
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.start()
            self._bar.add_task(self._verb, total=of, text=text)
        self._bar.update(self._bar.task_ids[0], completed=done, total=of, text=text)

    def end(self, result: str, *, warning: bool = False) -> None:
        """Replace the bar by the step's one line: mark, verb, what came out, seconds at the right edge."""
        self._stop_bar()
        status = "warn" if warning else "ok"
        seconds = f"{time.monotonic() - self._began:.1f} s"
        from rich.text import Text

        line = Text.assemble("  ", (mark(status), STYLES[status]), f" {self._verb:<{VERB_WIDTH}} ", result)
        room = min(console().width, WIDTH) - line.cell_len - len(seconds)
        line.append(" " * max(room, 2)).append(seconds, "bright_black")
        console().print(line, soft_wrap=True)

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1) -> None:
    """Print a table on standard output: a rule below the header, the first `left` columns left, numbers right.

    A cell is text, or a pair (text, status) that is drawn with the status's mark and colour.
    """
    from rich.console import Console
    from rich.table import Table

    found = Table(box=_rule(), show_edge=False, pad_edge=False, header_style="bright_black", padding=(0, 2, 0, 0))
    for i, name in enumerate(header):
        words = i < left or not name or any(isinstance(row[i], tuple) for row in rows)
        found.add_column(name, justify="left" if words else "right", no_wrap=bool(name))
    for row in rows:
        found.add_row(*(_cell(c) for c in row))
    out = Console(highlight=False)
    (out if out.is_terminal else Console(highlight=False, width=WIDTH)).print(found)


def phases_table(status: Status) -> None:
    """Print the six phases with the number of their gates and their verdicts; why, where one does not pass."""
    rows = []
    for phase in status.phases:
        why = next((g.reason for g in phase.gates if g.verdict == phase.verdict and phase.verdict != "pass"), "")
        name = phase.phase.replace("_", " ")
        rows.append([name, len(phase.gates), (phase.verdict.value, OF_VERDICT[phase.verdict]), why])
    table(["phase", "gates", "verdict", ""], rows)


def headline(sentence: str) -> None:
    """Print the one bold sentence with the result."""
    from rich.console import Console

    Console(highlight=False, soft_wrap=True).print(f"\n[bold]{sentence}[/bold]")


def _cell(value: Any) -> Any:
    from rich.text import Text

    if isinstance(value, tuple):
        text, status = value
        return Text.assemble((f"{mark(status)} {text}", STYLES[status]))
    return Text(str(value))


def _rule() -> Any:
    from rich.box import Box

    return Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


def _new_bar() -> Bar:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn(f"  [blue]{mark('run')}[/blue] {{task.description:<{VERB_WIDTH}}}"),
        BarColumn(bar_width=30, complete_style="blue", finished_style="blue"),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(compact=True),
        console=console(),
        transient=True,
    )
