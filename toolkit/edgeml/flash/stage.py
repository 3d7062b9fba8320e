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
    """The bundle that a device starts with: its file, release and target, and whether it takes images."""

    file: Path
    release: str
    target: str
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
    return name, FirstBundle(file, name, target, read_manifest(file).preprocessing.kind == "image")


def prepare(project: Project, folder: Path, bundle: FirstBundle, *, device: str, group: str, python: str) -> None:
    """Enrol a device and fill its folder; an agent must not run there.

    Args:
        project: Its server enrols the device and gives it its secret.
        folder: The device's folder, as it lies here.
        bundle: What it starts with.
        device, group: Its name and group.
        python: The Python that starts the agent; empty: the device's own, with the libraries in `lib`.

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
    write_atomic(folder / LAUNCHER, _launcher(python), mode=0o755)
    write_identity(folder, identity)  # last: with it the folder is a device


def _launcher(python: str) -> bytes:
    start = shlex.quote(python) if python else "PYTHONPATH=lib exec python3"
    return f"""#!/bin/sh
# Starts this device's agent; what it is told and keeps lies in this folder.
cd "$(dirname "$0")"
{"exec " if python else ""}{start} -m edgeml_agent run --folder .
""".encode()
