"""`edgeml init`: a project that runs as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="Where; made when it is missing.")]
ProjectName = Annotated[
    str | None, typer.Option("--name", help="The project's name; default: the folder's.", show_default=False)
]


@app.command()
def init(folder: Folder = Path(), name: ProjectName = None, json: AsJson = False) -> None:
    """Write a commented edgeml.toml that runs as it is.

    Example: edgeml init digits
    """
    import msgspec

    from edgeml.cli.terminal import headline
    from edgeml.project import init_project

    if name is None:
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:63].strip("-") or "project"
    file = init_project(folder, name)
    if json:
        typer.echo(msgspec.json.encode({"schema": "edgeml.init/1", "name": name, "file": str(file)}))
        return
    headline(f"{file} is written.")
    typer.echo("" if folder == Path() else f"  cd {folder}")
    typer.echo("  edgeml data check   looks at the data\n  edgeml train        trains on it")
