"""`edgeml doctor`: what is here, what is missing, what each is for and how to get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Union

import typer

from edgeml.cli.options import AsJson

if TYPE_CHECKING:
    from edgeml.doctor import Diagnosis, Need, Sensed

Cell = Union[str, "tuple[str, str]"]  # a text, or a text with its status
DASH: Final = "—"
app = typer.Typer()


@app.command()
def doctor(json: AsJson = False) -> None:
    """List what is here, what is missing, what each is for and how to get it. Example: edgeml doctor"""
    from edgeml.doctor import diagnose

    found = diagnose()
    if json:
        typer.echo(found.to_json())
    else:
        _print(found)


def _print(found: Diagnosis) -> None:
    from edgeml.cli.terminal import headline

    headline(_verdict(found))
    here = found.machine
    memory = f", {here.memory_bytes / 2**30:.0f} GiB" if here.memory_bytes else ""
    typer.echo(f"{here.cpu}, {here.cores} cores{memory}, {here.architecture}, {here.system}")
    typer.echo(f"edgeml {found.edgeml}, Python {here.python}")
    _table(["CPU feature", "", "what for"], [[f.name, _here(f.here), f.purpose] for f in found.cpu_features])
    if found.gpus:
        _table(["GPU", "name", "driver"], [[g.vendor, g.name or DASH, g.driver or DASH] for g in found.gpus])
    else:
        typer.echo("\nNo GPU with a loaded driver is here; CPU targets need none.")
    for kind in ("runtime", "package", "program"):
        _table([kind, "here", "needed by", ""], [_need(n) for n in found.needs if n.kind == kind])
    _table(["sensor", "now", ""], [_sensor(s) for s in found.sensors])
    _table(["target", "measurable", ""], [[t.target, _here(t.measurable), t.reason] for t in found.targets])


def _table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table of words after an empty line."""
    from edgeml.cli.terminal import table

    typer.echo()
    table(header, rows, left=len(header))


def _verdict(found: Diagnosis) -> str:
    """Return what is missing, a sentence a role, and how much of the targets can be measured here."""
    measurable = sum(t.measurable for t in found.targets)
    reach = f"{measurable} of {len(found.targets)} targets can be measured on this machine."
    lacking: dict[str, list[Need]] = {}
    for need in found.missing:
        lacking.setdefault(need.role, []).append(need)
    if not lacking:
        return f"Everything that edgeml needs is here. {reach}"
    sentences = [
        f"Missing for {role}: {', '.join(n.name for n in needs)} ({needs[0].get})." for role, needs in lacking.items()
    ]
    return " ".join([*sentences, reach])


def _here(here: bool) -> tuple[str, str]:
    return ("yes", "ok") if here else ("no", "off")


def _need(need: Need) -> list[Cell]:
    if need.here:
        return [need.name, (need.version or "", "ok"), need.role, need.purpose]
    what = f"{need.version}, {need.problem}" if need.problem else "missing"
    return [need.name, (what, "bad" if need.required else "off"), need.role, f"{need.purpose}; {need.get}"]


def _sensor(sensed: Sensed) -> list[Cell]:
    if sensed.value is None:
        return [sensed.name, ("not here", "off"), f"{sensed.what}; {sensed.get}"]
    value, unit = (sensed.value / 1e6, "MB") if sensed.unit == "bytes" else (sensed.value, sensed.unit)
    return [sensed.name, (f"{value:,.0f} {unit}", "ok"), sensed.what]
