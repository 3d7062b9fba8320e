"""`edgeml import`: an ONNX file that was trained elsewhere enters the chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer()

OnnxFile = Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="A classifier of the project's classes.")]


@app.command()
def import_(model: OnnxFile, project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Take an ONNX file into the project as its latest model, without training. Exit code 1 when a gate does not hold.

    Example: edgeml import mobilenet.onnx
    """
    import msgspec

    from edgeml.cli.terminal import Steps, headline
    from edgeml.project import load_project
    from edgeml.stages import judge_model, prepare
    from edgeml.train import import_model

    found, steps = load_project(project), Steps()
    dataset = prepare(found, progress=steps)
    stored = import_model(found, model, progress=steps)
    judge_model(found, stored, dataset)
    if json:
        typer.echo(msgspec.json.encode({"schema": "edgeml.import/1", "model": stored.id, "manifest": stored.manifest}))
        return
    manifest = stored.manifest
    headline(f"{model.name} is model {stored.id}: validation {manifest.metric} {manifest.validation_metric:.3f}.")
    typer.echo("  edgeml compress     makes it small and fast for each target")
