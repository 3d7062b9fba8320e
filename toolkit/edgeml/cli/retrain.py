"""`edgeml retrain`: the whole chain again, with what was labelled since."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer()


@app.command()
def retrain(
    project: ProjectFolder = Path(),
    notes: Annotated[str, typer.Option("--notes", help="One sentence for the release.")] = "",
    json: AsJson = False,
) -> None:
    """Train anew, hold the challenger against the champion, release it if every gate holds. Example: edgeml retrain --notes "foggy lens" """
    import msgspec

    from edgeml import load_project
    from edgeml.cli import terminal
    from edgeml.retraining import retrain as run

    done = run(load_project(project), notes=notes, progress=terminal.Steps())
    if json:
        typer.echo(msgspec.json.encode(done))
    elif done.verdict == "pass":
        terminal.headline(f"{done.release} is signed; the server rolls it out.")
    else:
        terminal.say_error(done.reason)
    raise typer.Exit(0 if done.verdict == "pass" else 1)
