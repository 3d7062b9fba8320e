"""Flashing: prepare a device's folder (agent, identity, bundle), in a folder here or over ssh."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeml.flash import directory, ssh
from edgeml.flash.stage import prepare, released
from edgeml.flash.wheels import agent_library
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress

FOLDER: Final = "dir:"
SSH: Final = "ssh://"


class Flashed(msgspec.Struct, frozen=True, kw_only=True):
    """What was flashed: the document `edgeml.flash/1`.

    Args:
        device, group, target, release: The device and what it will run.
        destination: Where its folder lies.
        started: Whether its agent was started, and starts at each boot.
        next: What to do now, one sentence.
    """

    schema: str = "edgeml.flash/1"
    device: str
    group: str
    target: str
    release: str
    destination: str
    started: bool
    next: str


def flash_device(
    project: Project,
    destination: str,
    *,
    target: str,
    device: str = "",
    group: str = "default",
    ssh_options: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Flashed:
    """Prepare a device, or one that was flashed before anew: what it still has to tell the server stays.

    Args:
        project: Its server enrols the device, its newest release is installed.
        destination: `dir:PATH`, or `ssh://user@host:port/folder`.
        target: The device's target.
        device: Its name; default: the folder's or the host's.
        group: The group that it joins.
        ssh_options: OpenSSH options, `IdentityFile=/path`.
        progress: Told what happens.

    Raises:
        EdgemlError: The address is wrong, the server does not run, there is no release for the target, the device can't be
            reached, or its processor, Python or libraries do not fit.
    """
    if destination.startswith(FOLDER):
        folder = Path(destination.removeprefix(FOLDER)).expanduser()
        name = device or _name_of(folder.resolve().name)
        progress.begin("Flashed")
        release = directory.write(project, folder, device=name, group=group, target=target)
        progress.end(f"{name}: {release} for {target} in {folder}")
        start = f"start it with {folder}/agent"
        return Flashed(
            device=name, group=group, target=target, release=release, destination=destination, started=False, next=start
        )
    if destination.startswith(SSH):
        host = ssh.parse_host(destination, ssh_options)
        return _over_ssh(project, host, device or _name_of(host.host), group, target, progress)
    raise EdgemlError("no destination", where=destination, mend="write dir:PATH or ssh://user@host")


def uninstall(destination: str, *, ssh_options: Sequence[str] = ()) -> None:
    """Stop the agent and remove its folder; what it had not yet told the server is lost.

    Raises:
        EdgemlError: The address is wrong, there is no device, or it can't be reached.
    """
    if destination.startswith(FOLDER):
        directory.remove(Path(destination.removeprefix(FOLDER)).expanduser())
    elif destination.startswith(SSH):
        ssh.uninstall(ssh.parse_host(destination, ssh_options))
    else:
        raise EdgemlError("no destination", where=destination, mend="write dir:PATH or ssh://user@host")


def _over_ssh(project: Project, host: ssh.Host, device: str, group: str, target: str, progress: Progress) -> Flashed:
    wanted = project.target(target)
    release, bundle = released(project, target)
    progress.begin("Probed")
    found = ssh.probe(host)
    if found.python.machine != wanted.architecture:
        raise EdgemlError(
            f"it is {found.python.machine}, {target} is for {wanted.architecture}",
            where=str(host),
            mend="choose a target for it",
        )
    version = ".".join(map(str, found.python.version))
    progress.end(
        f"{host.host}: {found.python.machine}, Python {version}, {'systemd' if found.systemd else 'no systemd'}"
    )
    progress.begin("Packed")
    library = agent_library(found.python, wanted.runtime, images=bundle.images, kept=project.workspace / "wheels")
    progress.end(f"agent, {wanted.runtime} and bundle")
    progress.begin("Flashed")
    with tempfile.TemporaryDirectory(prefix="edgeml-flash-") as scratch:
        staged = Path(scratch)
        prepare(project, staged, bundle, device=device, group=group, python="")
        sent = ssh.send(host, staged, library)
        ssh.install(host, found)
    progress.end(f"{device}: {release} for {target}{'' if sent else ', libraries were there'}")
    start = (
        "it runs, and starts at each boot"
        if found.systemd
        else f"there is no systemd: start it with ~/{host.folder}/agent"
    )
    return Flashed(
        device=device,
        group=group,
        target=target,
        release=release,
        destination=str(host),
        started=found.systemd,
        next=start,
    )


def _name_of(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63] or "device"
