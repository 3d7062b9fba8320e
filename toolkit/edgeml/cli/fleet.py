"""`edgeml fleet`: the fleet in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edgeml.cli.options import AsJson, ModelId, ProjectFolder
from edgeml.cli.terminal import Steps, headline, table

if TYPE_CHECKING:
    from edgeml.server.store import Store

app = typer.Typer(
    help="Look at the fleet, and take it back to a release. Example: edgeml fleet ls", no_args_is_help=True
)

MARKS: Final = {"healthy": "ok", "degraded": "warn", "silent": "warn", "never_seen": "run"}
DASH: Final = "—"
Most = Annotated[int, typer.Option("--last", min=1, max=1000, help="How many, newest first.")]


@app.command("ls")
def ls(project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """List the devices: what each runs and how it is.

    Example: edgeml fleet ls
    """
    from edgeml.figures import counted
    from edgeml.server import queries

    found = queries.fleet(_store(project))
    if json:
        typer.echo(queries.to_json(found))
        return
    if not found.devices:
        headline("No device is enrolled. Flash one: edgeml flash dir:PATH --target TARGET")
        return
    rows = [
        (d.device, (d.state.replace("_", " "), MARKS[d.state]), d.group, d.target, d.release or DASH, _ago(d.last_seen))
        for d in found.devices
    ]
    table(("device", "state", "group", "target", "release", "last seen"), rows, left=5)
    healthy = sum(d.state == "healthy" for d in found.devices)
    headline(f"{healthy} of {counted(len(found.devices), 'device', 'devices')} healthy.")
    for device in found.devices:
        if device.reason and device.state in ("degraded", "silent"):
            typer.echo(f"{device.device}: {device.reason}")


@app.command("telemetry")
def telemetry(
    device: Annotated[str | None, typer.Argument(help="One device; default: all.")] = None,
    project: ProjectFolder = Path(),
    most: Most = 20,
    json: AsJson = False,
) -> None:
    """Show the newest windows.

    Example: edgeml fleet telemetry line-b-07
    """
    from edgeml.figures import milliseconds, percent
    from edgeml.server import queries

    found = queries.telemetry(_store(project), device, most=most)
    if json:
        typer.echo(queries.to_json(found))
        return
    if not found.windows:
        headline("No window has come yet. A running agent sends one every fleet.window_s seconds.")
        return
    rows = [
        (
            w.device,
            _clock(w.ended_at),
            w.release,
            f"{w.answers:,}",
            percent(w.unknown / w.answers) if w.answers else DASH,
            f"{w.errors:,}",
            milliseconds(w.p50_us),
            milliseconds(w.p99_us),
        )
        for w in found.windows
    ]
    table(("device", "ended", "release", "answers", "unknown", "errors", "p50", "p99"), rows, left=3)
    headline(f"{len(found.windows)} window{'s' * (len(found.windows) != 1)}, newest first.")


@app.command("decisions")
def decisions(project: ProjectFolder = Path(), most: Most = 20, json: AsJson = False) -> None:
    """Show what was decided, with the figures it rests on.

    Example: edgeml fleet decisions --last 5
    """
    from edgeml.server import queries

    found = queries.decisions(_store(project), most=most)
    if json:
        typer.echo(queries.to_json(found))
        return
    rows = [(_clock(d.at), (d.title, d.status), d.figure or DASH, d.by) for d in found.decisions]
    table(("time", "decision", "figures", "by"), rows, left=4)
    headline(f"{len(found.decisions)} decisions, newest first.")


@app.command("rollback")
def rollback(
    to: Annotated[str | None, typer.Argument(help="A release; default: the one before the present one.")] = None,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Take the whole fleet back to an earlier release.

    Example: edgeml fleet rollback r1
    """
    import getpass

    import msgspec

    from edgeml.server import rollout

    release = rollout.rollback(_store(project), to, by=getpass.getuser())
    if json:
        typer.echo(msgspec.json.encode({"schema": "edgeml.rollback/1", "release": release}))
        return
    headline(f"The fleet goes back to {release}; edgeml fleet ls shows how far it is.")


@app.command("revoke")
def revoke(
    device: Annotated[str, typer.Argument(help="The device.")], project: ProjectFolder = Path(), json: AsJson = False
) -> None:
    """Let a device in no more; flashing it again gives it new credentials.

    Example: edgeml fleet revoke line-b-07
    """
    import msgspec

    from edgeml.server import enrol

    enrol.revoke(_store(project), device)
    if json:
        typer.echo(msgspec.json.encode({"schema": "edgeml.revoke/1", "device": device}))
        return
    headline(f"{device} is let in no more.")


@app.command("release")
def release(model: ModelId = None, project: ProjectFolder = Path(), json: AsJson = False) -> None:
    """Judge a model, sign it as a release, start its rollout.

    What the fleet runs already is refused: it is not signed twice.

    Example: edgeml fleet release
    """
    import msgspec

    from edgeml import stages
    from edgeml.project import load_project

    found = stages.release(load_project(project), model=model, progress=Steps())
    if json:
        typer.echo(msgspec.json.encode(found))
        return
    targets = ", ".join(sorted(found.bundles))
    headline(f"{found.name} is model {found.model}, signed for {targets}; edgeml fleet decisions shows its rollout.")


def _store(folder: Path) -> Store:
    from edgeml.project import load_project
    from edgeml.server.store import Store

    return Store.of(load_project(folder))


def _ago(at: float | None) -> str:
    import time

    if at is None:
        return "never"
    seconds = max(time.time() - at, 0.0)
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f}\u00a0{unit} ago"
    return f"{seconds:.0f}\u00a0s ago"


def _clock(at: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(at).strftime("%d %b %H:%M:%S")
