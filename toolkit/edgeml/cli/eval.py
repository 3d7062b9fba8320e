"""`edgeml eval`: how often a model or an artifact is right, over all and class by class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer()

ModelOrArtifact = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A model's id, an ONNX file or an artifact; default: the latest model."),
]
OneTarget = Annotated[
    str | None, typer.Option("--target", help="A target, `x86_64-litert`; default: the project's first.")
]
SplitName = Annotated[str, typer.Option("--split", help="train, calibration, validation, test, golden, live or fresh.")]


@app.command()
def eval_(
    model: ModelOrArtifact = None,
    target: OneTarget = None,
    split: SplitName = "test",
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Tell how often a model or an artifact is right on a split.

    Example: edgeml eval --target x86_64-litert --split validation
    """
    import msgspec

    from edgeml.cli.terminal import Steps, headline, table
    from edgeml.evaluation import evaluate_model
    from edgeml.project import load_project

    found = evaluate_model(load_project(project), model, target=target, split=split, progress=Steps())
    if json:
        typer.echo(msgspec.json.encode(found))
        return
    headline(
        f"{found.accuracy:.1%} of {found.samples:,} samples right on {found.target} "
        f"(95 %: {found.accuracy_low:.1%} to {found.accuracy_high:.1%})."
    )
    table(
        ["class", "samples", "right", "accuracy", "mostly taken for"],
        [
            [
                c.name,
                f"{c.samples:,}",
                f"{c.right:,}",
                "–" if c.accuracy is None else f"{c.accuracy:.1%}",
                c.taken_for or "–",
            ]
            for c in found.classes
        ],
    )
