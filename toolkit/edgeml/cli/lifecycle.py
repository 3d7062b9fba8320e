"""`edgeml lifecycle`: the six phases of CRISP-ML(Q), their gates and the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer(help="The six phases, their gates and the ledger.", no_args_is_help=True)


@app.command()
def status(project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Print the six phases with their latest verdicts. Example: edgeml lifecycle status"""
    import msgspec

    from edgeml import lifecycle, load_project
    from edgeml.cli import terminal

    found = lifecycle.status(load_project(project))
    if json:
        typer.echo(msgspec.json.encode(found))
        return
    terminal.phases_table(found)
    rows = [
        [gate.gate, gate.value or "—", gate.threshold or "—", (gate.verdict.value, terminal.OF_VERDICT[gate.verdict])]
        for phase in found.phases
        for gate in phase.gates
    ]
    typer.echo()
    terminal.table(["gate", "value", "threshold", "verdict"], rows, left=3)


@app.command()
def verify(project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Find any changed or cut record of the ledger; exit code 1 when there is one. Example: edgeml lifecycle verify"""
    import msgspec

    from edgeml import load_project
    from edgeml.stages import verify_ledger

    found = verify_ledger(load_project(project))
    if json:
        typer.echo(msgspec.json.encode(found))
    else:
        for fault in found.faults:
            typer.echo(f"record {fault.number}: {fault.what}")
        faults = f"{len(found.faults)} faults" if found.faults else "nothing was changed or cut"
        typer.echo(f"{found.records} records, {found.releases} signed releases that carry a head: {faults}.")
    raise typer.Exit(1 if found.faults else 0)


@app.command()
def waive(
    gate: Annotated[str, typer.Argument(help="The gate's name, as `edgeml lifecycle status` prints it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the evidence is enough.")],
    by: Annotated[str, typer.Option("--by", help="Who takes the responsibility; default: you.")] = "",
    project: ProjectFolder = Path(),
) -> None:
    """Let an insufficient verdict through, by name and reason. Example: edgeml lifecycle waive fits_budget --reason "bench on Friday" """
    from edgeml import lifecycle, load_project

    written = lifecycle.waive(load_project(project), gate, reason=reason, by=by)
    typer.echo(f"{written.gate} is waived by {written.by}, record {written.number} of the ledger.")
