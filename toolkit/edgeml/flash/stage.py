"""A device's folder as it is to be: identity, first bundle, inbox, and the script that starts the agent."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.enrol import enrol
from edgeml.server.releases import bundle_file, read_release
from edgeml.server.store import Store
from edgeml_agent import slots
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity, write_identity
from edgeml_targets.contract.bundle import read_manifest
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

LAUNCHER: Final = "agent"


@dataclass(frozen=True)
class FirstBundle:
    """The bundle that a device starts with: its file, release and target, what runs it, and whether it takes images."""

    file: Path
    release: str
    target: str
    runtime: str
    device: str
    images: bool


def released(project: Project, target: str) -> tuple[str, FirstBundle]:
    """Return the release that a new device of this target runs, and its bundle.

    Raises:
        EdgemlError: No release has a bundle for the target.
    """
    project.target(target)
    store = Store.of(project)
    try:
        with store.reading() as connection:
            name = rollout.release_for(connection, target)
    finally:
        store.close()
    if name is None:
        raise EdgemlError("no release has a bundle for it", where=target, mend="make one with edgeml fleet release")
    file = bundle_file(project, read_release(project, name).bundles[target].sha256)
    manifest = read_manifest(file)
    settings = manifest.settings
    images = manifest.preprocessing.kind == "image"
    return name, FirstBundle(file, name, target, settings.runtime, settings.device, images)


def extras_of(bundle: FirstBundle) -> list[str]:
    """Return edgeml's extras that a device needs to run a bundle.

    Raises:
        EdgemlError: It runs on an accelerator whose library no package index has for every device.
    """
    if bundle.runtime == "onnxruntime" and bundle.device != "cpu":
        raise EdgemlError(
            f"its libraries for {bundle.device} can't be sent",
            where=bundle.target,
            mend="install edgeml[onnxruntime] with onnxruntime-gpu there, and flash dir:PATH there",
        )
    return [bundle.runtime, *(["images"] if bundle.images else [])]


def known_as(known: str, asked: str, default: str, *, where: str) -> str:
    """Return the name that a device is flashed with: the one that it has, if it was flashed before.

    Raises:
        EdgemlError: Another name was asked for; what waits in its outbox bears the old one, and no server would take it.
    """
    if known and asked and known != asked:
        raise EdgemlError(f"it is {known} already", where=where, mend="keep its name, or --uninstall it first")
    return known or asked or default


def prepare(project: Project, folder: Path, bundle: FirstBundle, *, device: str, group: str, start: bytes) -> None:
    """Enrol a device and fill its folder; an agent must not run there.

    Args:
        project: Its server enrols the device and gives it its secret.
        folder: The device's folder, as it lies here.
        bundle: What it starts with.
        device, group: Its name and group.
        start: The script that starts the agent, see `launcher`.

    Raises:
        EdgemlError: The server does not run, a name is none, or the folder cannot be written.
    """
    enrolment = enrol(project, device, group, bundle.target)
    slots.install(folder, bundle.file, release=bundle.release, target=bundle.target)
    here = DeviceFolder(folder)
    here.inbox.mkdir(parents=True, exist_ok=True)
    identity = Identity(
        device=device,
        group=group,
        target=bundle.target,
        broker_host=enrolment.broker_host,
        broker_port=enrolment.broker_port,
        token=enrolment.token,
        server_url=enrolment.server_url,
        fleet_key=enrolment.fleet_key,
        window_s=project.fleet.window_s,
    )
    write_atomic(folder / LAUNCHER, start, mode=0o755)
    write_identity(folder, identity)  # last: with it the folder is a device


def launcher(python: str, library: str = "") -> bytes:
    """Return the script that starts an agent.

    Args:
        python: The Python that runs it, absolute: another PATH at boot than at the shell must not find another one.
        library: The folder in the device's with what it imports; empty where that is installed.
    """
    imports = f'export PYTHONPATH="$PWD/{library}"\n' if library else ""
    return f"""#!/bin/sh
# Starts this device's agent; what it is told and keeps lies in this folder.
cd "$(dirname "$0")" || exit 1
{imports}exec {shlex.quote(python)} -m edgeml_agent run --folder .
""".encode()
