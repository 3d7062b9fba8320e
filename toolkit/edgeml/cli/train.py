"""`edgeml train`: from the project's data to a model."""

from __future__ import annotations

from pathlib import Path

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer()


@app.command()
def train(project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Prepare the data and train; a run that was interrupted goes on where it was. Exit code 1 when a gate does not hold.

    Example: edgeml train
    """
    import msgspec

    from edgeml.cli.terminal import Steps, headline
    from edgeml.project import load_project
    from edgeml.stages import engineer, prepare

    found, steps = load_project(project), Steps()
    model = engineer(found, prepare(found, progress=steps), progress=steps)
    if json:
        document = {
            "schema": "edgeml.train/1",
            "model": model.id,
            "onnx": _shown(model.onnx),
            "manifest": model.manifest,
        }
        typer.echo(msgspec.json.encode(document))
        return
    manifest = model.manifest
    headline(
        f"{manifest.network}: validation {manifest.metric} {manifest.validation_metric:.3f}, "
        f"always answering the most frequent class {manifest.baseline_metric:.3f}."
    )
    typer.echo(f"  model {model.id}, {manifest.weights:,} weights: {_shown(model.onnx)}")
    typer.echo("  edgeml compress     makes it small and fast for each target")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
