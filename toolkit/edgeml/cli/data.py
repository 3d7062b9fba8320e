"""`edgeml data`: look at a project's data, and add newly labelled samples to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

if TYPE_CHECKING:
    from edgeml.data import Dataset

app = typer.Typer(no_args_is_help=True, help="Look at a project's data, and add newly labelled samples to it.")

Accept = Annotated[bool, typer.Option("--accept", help="Expect from now on what the data is now.")]
Samples = Annotated[
    Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A folder of images (a class a folder), .npz, .npy or .csv.")
]
LabelsFile = Annotated[
    Path | None, typer.Option("--labels", help="An .npy with a class a sample, where the samples are an .npy.")
]


@app.command()
def check(accept: Accept = False, project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Describe the data and hold it against what the project expects of it; exit code 1 when something does not hold.

    Example: edgeml data check
    """
    import msgspec

    from edgeml.cli.terminal import Steps
    from edgeml.data import accept as accept_as_it_is
    from edgeml.data import prepare
    from edgeml.project import load_project

    found = load_project(project)
    dataset = prepare(found, progress=Steps())
    if accept:
        dataset = accept_as_it_is(found, dataset)
    if json:
        document = {"schema": "edgeml.data/1", "dataset": dataset.version, "description": dataset.description}
        typer.echo(msgspec.json.encode(document))
    else:
        _show(dataset)
    if not all(c.holds for c in dataset.description.checks):
        raise typer.Exit(1)


@app.command()
def add(samples: Samples, labels: LabelsFile = None, project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Keep newly labelled samples; the next training learns from them.

    Example: edgeml data add fresh.npz
    """
    import msgspec

    from edgeml.cli.terminal import headline
    from edgeml.data.additions import add_from, read_additions
    from edgeml.project import load_project

    found = load_project(project)
    before = len(read_additions(found))
    addition = add_from(found, samples, labels)
    if json:
        typer.echo(msgspec.json.encode({"schema": "edgeml.addition/1", "addition": addition}))
        return
    new = len(read_additions(found)) > before
    nothing_new = new and addition.known == addition.samples
    classes = ", ".join(f"{n:,} of {name}" for name, n in addition.classes.items())
    if nothing_new:
        headline(f"Nothing new: all {addition.samples:,} samples are known already and change nothing.")
    else:
        headline(f"{addition.samples:,} samples added: {classes}." if new else f"{samples} was added before.")
    if addition.known and not nothing_new:
        typer.echo(f"  {addition.known:,} of them were known already and change nothing.")
    if addition.relabelled:
        typer.echo(
            f"  {addition.relabelled:,} of those came with another label: the old one stands. Correct it where it is from."
        )
    if not nothing_new:
        typer.echo("  edgeml train        learns from them")


def _show(dataset: Dataset) -> None:
    from edgeml.cli.terminal import headline, table

    description = dataset.description
    failed = sum(not c.holds for c in description.checks)
    form = f"{' x '.join(map(str, description.shape))} {description.dtype}"
    verdict = f"{failed} of {len(description.checks)} checks do not hold" if failed else "all checks hold"
    headline(f"{description.samples:,} samples of {len(dataset.classes)} classes, {form}; {verdict}.")
    typer.echo()
    table(
        ["check", "found", "allowed", ""],
        [
            [c.name, c.value, c.limit, ("holds", "ok") if c.holds else ("does not hold", "bad")]
            for c in description.checks
        ],
        left=3,
    )
    typer.echo()
    used = [name for name, counts in description.splits.items() if sum(counts)]
    table(
        ["class", "samples", *used],
        [
            [name, f"{total:,}", *(f"{description.splits[split][i]:,}" for split in used)]
            for i, (name, total) in enumerate(description.classes.items())
        ],
    )
