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
    from rich.text import Text

    from edgeml.lifecycle import Status

VERB_WIDTH: Final = 10
WIDTH: Final = 100
GAP: Final = 2  # between two columns of a table
LEAST_WORDS: Final = 16  # columns that a column of text may be wrapped to
STYLES: Final = {"ok": "green", "warn": "yellow", "bad": "red", "run": "blue"}  # the others are not known, or no news
PLAIN: Final = {
    "ok": "[ok]",
    "warn": "[!]",
    "bad": "[x]",
    "run": "*",
    "off": "-",
    "unsure": "[?]",
    "few": "[?]",
    "same": "[=]",
}
DRAWN: Final = {"ok": "✓", "warn": "!", "bad": "✗", "run": "•", "off": "•", "unsure": "?", "few": "?", "same": "="}
OF_VERDICT: Final = {"pass": "ok", "fail": "bad", "insufficient": "warn", "waived": "warn", "pending": "run"}


def say_error(message: str) -> None:
    """Print one line: `error: WHERE: WHAT; HOW TO MEND`."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    word = "\x1b[1;31merror:\x1b[0m" if coloured else "error:"
    sys.stderr.write(f"{word} {message}\n")


def mark(status: str) -> str:
    """Return the mark of a status in this terminal's encoding.

    Args:
        status: `ok`, `warn`, `bad`, `run`; `off`: not here, and no fault; `unsure`: not measured; `few`: of too few samples; `same`: no
            difference.
    """
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
        from rich.table import Table
        from rich.text import Text

        begin = Text.assemble("  ", (mark(status), STYLES.get(status, "bright_black")), f" {self._verb:<{VERB_WIDTH}} ")
        width = min(console().width, WIDTH)
        room = width - begin.cell_len - len(result) - len(seconds)
        if room >= 2 or not console().is_terminal:  # in a pipe a step is one line, however long
            line = Text.assemble(begin, result, " " * max(room, 2), (seconds, "bright_black"))
            console().print(line, soft_wrap=True)
            return
        lines = Table.grid(expand=True)
        lines.width = width
        lines.add_column(no_wrap=True)
        lines.add_column(ratio=1, overflow="fold")
        lines.add_column(no_wrap=True, justify="right")
        lines.add_row(begin, Text(f"{result}  "), Text(seconds, "bright_black"))
        console().print(lines)

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1) -> None:
    """Print a table on standard output: a rule below the header, the first `left` columns left, numbers right.

    A cell is text of one or more lines, or a pair (text, status) that is drawn with the status's mark and colour. Where the terminal is too
    narrow, words wrap in columns of text; the first column, figures and statuses are never cut: where even those don't
    fit, each row is printed as lines of `name: value`.
    """
    from rich.console import Console
    from rich.table import Table

    wrapping = [0 < i < left or not name for i, name in enumerate(header)]
    wrapping = [wraps and not any(isinstance(row[i], tuple) for row in rows) for i, wraps in enumerate(wrapping)]
    out = Console(highlight=False, width=table_width())
    widths = _widths(header, rows, wrapping, out.width - GAP * (len(header) - 1))
    if widths is None:
        _print_lines(out, header, rows)
        return
    found = Table(box=_rule(), show_edge=False, pad_edge=False, header_style="bright_black", padding=(0, GAP - 1, 0, 0))
    for i, name in enumerate(header):
        words = i < left or not name or any(isinstance(row[i], tuple) for row in rows)
        found.add_column(
            name,
            justify="left" if words else "right",
            no_wrap=not wrapping[i],
            width=widths[i],
            overflow="fold",
        )
    for row in rows:
        found.add_row(*(_cell(c) for c in row))
    out.print(found)


def fits(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Tell whether a table stands in the terminal as it is, no word wrapped."""
    columns = zip(header, *rows, strict=True)
    widths = [max(_breadth(cell) for cell in column) for column in columns]
    return sum(widths) + GAP * (len(widths) - 1) <= table_width()


def _breadth(cell: Any) -> int:
    """Return how wide a cell's longest line is."""
    return max(map(len, _cell(cell).plain.split("\n")))


def table_width() -> int:
    """Return how many columns a table on standard output may take: the terminal's, `WIDTH` in a pipe."""
    from rich.console import Console

    out = Console()
    return out.width if out.is_terminal else WIDTH


def _widths(
    header: Sequence[str], rows: Sequence[Sequence[Any]], wrapping: Sequence[bool], room: int
) -> list[int] | None:
    """Return the columns' widths, words wrapped where `room` is too small; `None` where a word would have to be cut."""
    whole, least = [], []
    for i, name in enumerate(header):
        texts = [_cell(row[i]).plain for row in rows]
        whole.append(max([_breadth(name), *(_breadth(row[i]) for row in rows)]))
        longest_word = max([_breadth(name), LEAST_WORDS, *(len(word) for text in texts for word in text.split())])
        least.append(min(whole[i], longest_word) if wrapping[i] else whole[i])
    spare, wanted = room - sum(least), sum(whole) - sum(least)
    if spare >= wanted:
        return whole
    if spare < 0:
        return None
    return [low + (high - low) * spare // wanted for low, high in zip(least, whole, strict=True)]


def _print_lines(out: Console, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print each row as its first cell and a line for each other one that is not empty."""
    from rich.padding import Padding
    from rich.text import Text

    for row in rows:
        out.print(Text.assemble((_cell(row[0]).plain, "bold")))
        for name, value in zip(header[1:], row[1:], strict=True):
            cell = _cell(value)
            if cell.plain:
                line = Text.assemble((f"{name}: ", "bright_black"), cell) if name else cell
                out.print(Padding(line, (0, 0, 0, 2), expand=False))


def phases_table(status: Status) -> None:
    """Print the six phases with the number of their gates and their verdicts; why, where one does not pass."""
    rows = []
    for phase in status.phases:
        why = next((g.reason for g in phase.gates if g.verdict == phase.verdict and phase.verdict != "pass"), "")
        name = phase.phase.replace("_", " ")
        rows.append([name, len(phase.gates), (phase.verdict.value, OF_VERDICT[phase.verdict]), why])
    table(["phase", "gates", "verdict", ""], rows)


def headline(sentence: str) -> None:
    """Print the one bold sentence with the result; it wraps between words, and in a pipe not at all."""
    from rich.console import Console
    from rich.text import Text

    out = Console(highlight=False)
    out.print()
    out.print(Text(sentence, "bold"), soft_wrap=not out.is_terminal)


def note(sentence: str, *, status: str = "warn") -> None:
    """Print a sentence that bears on a result, behind its mark; it wraps between words, and in a pipe not at all."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Console(highlight=False)
    sign = Text(mark(status), STYLES.get(status, "bright_black"))
    if not out.is_terminal:
        out.print(Text.assemble(sign, " ", sentence), soft_wrap=True)
        return
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(sign, Text(sentence))
    out.print(line)


def _cell(value: Any) -> Text:
    from rich.text import Text

    if isinstance(value, tuple):
        text, status = value
        return Text.assemble((f"{mark(status)} {text}", STYLES.get(status, "bright_black")))
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
