"""`docs/reference/cli.md` says what `--help` says; `EDGEML_WRITE_DOCS=1` writes it anew. Every command has an example."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from edgeml.cli import build

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
HEAD = """# The command line

Made from `--help` by `tests/toolkit/cli/test_reference.py`. Every command takes `--json` where it has figures to print, and
`--debug` for the traceback of an error. Exit codes: 0 done, 1 a gate failed or a budget is not met, 2 bad usage or input, 130
interrupted.
"""

AS_TYPED = "import sys; from edgeml.cli import main; sys.argv[0] = 'edgeml'; main()"  # lines wrap as people see them


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in sorted(getattr(command, "commands", {}).items()):
        if not below.hidden:
            yield from commands(below, (*path, name))


ALL = list(commands(typer.main.get_command(build()), ()))


def help_of(path: tuple[str, ...]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", AS_TYPED, *path, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    return done.stdout.strip()


def test_the_page_is_what_help_says() -> None:
    parts = [HEAD] + [f"## edgeml {' '.join(path)}\n\n```text\n{help_of(path)}\n```\n" for path, _ in ALL if path]
    page = "\n".join(parts)
    if os.environ.get("EDGEML_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew: EDGEML_WRITE_DOCS=1 pytest tests/toolkit/cli/test_reference.py"


@pytest.mark.parametrize(("path", "command"), [(p, c) for p, c in ALL if p and not getattr(c, "commands", None)])
def test_every_command_has_an_example(path: tuple[str, ...], command: Any) -> None:
    assert f"Example: edgeml {' '.join(path)}" in " ".join((command.help or "").split())
