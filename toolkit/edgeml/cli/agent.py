"""`edgeml agent run`: the same agent that a flashed device starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Run a device's agent.", no_args_is_help=True)


@app.callback()
def _agent() -> None:
    """Run a device's agent."""


@app.command()
def run(
    folder: Annotated[Path, typer.Option("--folder", help="The device's folder, as edgeml flash prepared it.")],
) -> None:
    """Answer samples and tell the server, until SIGTERM or Ctrl-C. Example: edgeml agent run --folder /var/lib/edgeml"""
    import os
    import sys

    # The agent takes this process's place: typer has brought pydantic by now, 20 MB that a device need not keep for years.
    os.execv(sys.executable, [sys.executable, "-m", "edgeml_agent", "run", "--folder", str(folder)])
