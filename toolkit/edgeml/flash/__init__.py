"""Flashing: prepare a device's folder (agent, identity, bundle), in a folder here or over ssh."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from edgeml.flash import directory, remote, ssh, unit
from edgeml.flash.stage import Known, claimed, enrolled, extras_of, known_as, launcher, prepare, released
from edgeml.flash.wheels import OLDEST_PYTHON, Python, agent_library
from edgeml.project import Project
from edgeml.server.broker import is_loopback
from edgeml.server.running import Running, need_running
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.target import Target

FOLDER: Final = "dir:"
SSH: Final = "ssh://"
LIBRARY: Final = "lib"
NARROW: Final = {"aarch64": "armv7l", "x86_64": "i686"}  # a 32-bit system on a 64-bit kernel


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed: the document `edgeml.flash-uninstall/1`."""

    schema: str = "edgeml.flash-uninstall/1"
    destination: str


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
    replace: bool = False,
    ssh_options: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Flashed:
    """Prepare a device, or one that was flashed before anew: what it still has to tell the server stays.

    Args:
        project: Its server enrols the device, its newest release is installed.
        destination: `dir:PATH`, or `ssh://user@host:port/folder`.
        target: The device's target.
        device: Its name; default: the one that it has, else the folder's or the host's.
        group: The group that it joins.
        replace: Whether it may take the place of another device of that name, which is then let in no more.
        ssh_options: OpenSSH options, `IdentityFile=/path`.
        progress: Told what happens.

    Raises:
        EdgemlError: The address is wrong, the server does not run, there is no release for the target, the device can't be
            reached, has another name already, another device has the name, or its processor, Python or libraries do not
            fit.
    """
    if destination.startswith(FOLDER):
        folder = _folder_of(destination)
        known = directory.device_in(folder)
        name = known_as(known.device, device, _name_of(folder.resolve().name), where=destination)
        claim = claimed(project, known, name, replace=replace)
        progress.begin("Flashed")
        release = directory.write(project, folder, claim, device=name, group=group, target=target)
        progress.end(f"{name}: {release} for {target} in {folder}")
        return Flashed(
            device=name,
            group=group,
            target=target,
            release=release,
            destination=destination,
            started=False,
            next=f"start it with {folder}/agent",
        )
    if destination.startswith(SSH):
        host = ssh.parse_host(destination, ssh_options)
        wish = _Wish(device, group, target, replace)
        return _over_ssh(project, host, wish, progress=progress)
    raise EdgemlError("no destination", where=destination, mend="write dir:PATH or ssh://user@host")


def uninstall(destination: str, *, ssh_options: Sequence[str] = ()) -> Removed:
    """Stop the agent that starts at boot and remove its folder; what it had not yet told the server is lost.

    Raises:
        EdgemlError: The address is wrong, there is no device, or it can't be reached.
    """
    if destination.startswith(FOLDER):
        directory.remove(_folder_of(destination))
    elif destination.startswith(SSH):
        remote.uninstall(ssh.parse_host(destination, ssh_options))
    else:
        raise EdgemlError("no destination", where=destination, mend="write dir:PATH or ssh://user@host")
    return Removed(destination=destination)


@dataclass(frozen=True)
class _Wish:
    """What a device is to be; see `flash_device`."""

    device: str
    group: str
    target: str
    replace: bool


def _over_ssh(project: Project, host: ssh.Host, wish: _Wish, *, progress: Progress) -> Flashed:
    target = wish.target
    release, bundle = released(project, target)
    running = need_running(project)
    progress.begin("Probed")
    found = remote.probe(host)
    python = _fitting(found, project.target(target), str(host))
    name = known_as(found.device, wish.device, _name_of(host.host), where=str(host))
    claim = claimed(project, Known(found.device, found.fleet_key), name, replace=wish.replace)
    version = ".".join(map(str, python.version))
    progress.end(f"{host.host}: {python.machine}, Python {version}, {'systemd' if found.systemd else 'no systemd'}")
    with tempfile.TemporaryDirectory(prefix="edgeml-flash-") as scratch:
        packages, staged = Path(scratch, "packages"), Path(scratch, "staged")
        packages.mkdir()
        progress.begin("Packed")
        library = agent_library(python, extras_of(bundle), kept=project.workspace / "wheels", made=packages)
        progress.end("the agent and its libraries")
        progress.begin("Flashed")
        remote.open_incoming(host, found)
        sent = remote.send_library(host, found, library)
        # Enrolled last: from then on the agent that still runs there is let in no more, until the new one starts.
        enrolment = enrolled(project, claim, name, wish.group, target)
        prepare(project, staged, bundle, enrolment, start=launcher(found.executable, LIBRARY))
        write_atomic(staged / unit.NAME, unit.unit(found.folder, root=found.root).encode())
        remote.send(host, found, staged)
        remote.install(host, found)
    progress.end(f"{name}: {release} for {target}{'' if sent else ', its libraries were there'}")
    return Flashed(
        device=name,
        group=wish.group,
        target=target,
        release=release,
        destination=str(host),
        started=found.systemd,
        next=_next(host, found, running),
    )


def _fitting(found: remote.Probe, target: Target, where: str) -> Python:
    """Return the device's Python, once it is sure that the target runs there."""
    machine = NARROW.get(found.machine, found.machine) if found.bits == 32 else found.machine
    if machine != target.architecture:
        raise EdgemlError(
            f"it is {machine}, {target.name} is for {target.architecture}", where=where, mend="choose a target for it"
        )
    if found.python < OLDEST_PYTHON:
        raise EdgemlError(
            f"its Python is {found.python[0]}.{found.python[1]}, 3.10 is needed",
            where=where,
            mend="install a newer python3 there",
        )
    glibc = re.match(r"(\d+)\.(\d+)", found.libc_version)
    if found.libc != "glibc" or glibc is None:
        raise EdgemlError("its C library is not glibc", where=where, mend="choose a system with glibc")
    return Python(found.python, machine, (int(glibc[1]), int(glibc[2])))


def _next(host: ssh.Host, found: remote.Probe, running: Running) -> str:
    started = "it runs, and starts at each boot" if found.systemd else f"start it there with {found.folder}/agent"
    if is_loopback(running.broker_host) and not is_loopback(host.host):
        return f"{started}; the server listens on loopback only, so serve with --listen ADDRESS and flash it again"
    return started


def _folder_of(destination: str) -> Path:
    path = destination.removeprefix(FOLDER)
    if not path:
        raise EdgemlError("no destination", where=destination, mend="write dir:PATH or ssh://user@host")
    return Path(path).expanduser()


def _name_of(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63] or "device"
