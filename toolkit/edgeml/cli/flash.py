"""`edgeml flash`: prepare a device by one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeml.cli.options import AsJson, ProjectFolder

app = typer.Typer()


@app.command()
def flash(
    destination: Annotated[str, typer.Argument(help="`dir:PATH`, or `ssh://user@host[:port][/folder]`.")],
    target: Annotated[str, typer.Option("--target", help="The device's target; needed unless --uninstall.")] = "",
    device: Annotated[
        str, typer.Option("--device", help="The device's name; default: the folder's or the host's.")
    ] = "",
    group: Annotated[str, typer.Option("--group", help="The group that it joins.")] = "default",
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another device of this name, which is let in no more.")
    ] = False,
    ssh_option: Annotated[
        list[str] | None, typer.Option("--ssh-option", help="An OpenSSH option, `IdentityFile=/path`; again for more.")
    ] = None,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Stop the agent and remove it.")] = False,
    project: ProjectFolder = Path(),
    json: AsJson = False,
) -> None:
    """Prepare a device: agent, identity and bundle. Example: edgeml flash ssh://pi@192.168.0.40 --target raspberrypi5-onnxruntime"""
    import msgspec

    from edgeml import load_project
    from edgeml.cli import terminal
    from edgeml.flash import flash_device
    from edgeml.flash import uninstall as remove

    if uninstall:
        removed = remove(destination, ssh_options=ssh_option or ())
        if json:
            typer.echo(msgspec.json.encode(removed))
        else:
            terminal.headline(f"{destination} is no device any more.")
        return
    if not target:
        raise typer.BadParameter("give the device's target, --target raspberrypi5-onnxruntime")
    done = flash_device(
        load_project(project),
        destination,
        target=target,
        device=device,
        group=group,
        replace=replace,
        ssh_options=ssh_option or (),
        progress=terminal.Steps(),
    )
    if json:
        typer.echo(msgspec.json.encode(done))
    else:
        terminal.headline(f"{done.device} is flashed with {done.release}; {done.next}.")
