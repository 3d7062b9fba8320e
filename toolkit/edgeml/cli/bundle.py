"""`edgeml bundle`: pack what compression chose into one file a target, which is what a device runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ModelId, ProjectFolder, TargetNames

app = typer.Typer()


@app.command()
def bundle(
    model: ModelId = None,
    target: TargetNames = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the bundles go; default: .edgeml/bundles/MODEL.", show_default=False),
    ] = None,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Pack each target's artifact with preprocessing, labels, reference statistics and golden samples.

    Example: edgeml bundle --target x86_64-litert --out bundles
    """
    import msgspec

    from edgeml.bundling import bundle_project
    from edgeml.cli.terminal import Steps, headline, table
    from edgeml.figures import kilobytes
    from edgeml.project import load_project

    packing = bundle_project(load_project(project), model=model, targets=target or (), folder=out, progress=Steps())
    if json:
        typer.echo(msgspec.json.encode(packing).decode())
        return
    rows = [[b.target, b.candidate, kilobytes(b.size_bytes), b.sha256[:12], b.bundle] for b in packing.bundles]
    table(["target", "candidate", "size", "sha256", "bundle"], rows, left=2)
    headline(f"{len(packing.bundles)} bundles of {packing.model}. edgeml fleet release signs them.")
