"""A device's folder as it is to be: identity, first bundle, inbox, and the script that starts the agent."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.enrol import Enrolment, enrol, enrol_again, need_free
from edgeml.server.releases import bundle_file, public_key, read_release
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
        missing = "" if target in project.targets else "add it to targets in edgeml.toml, then "
        raise EdgemlError(
            "no release has a bundle for it", where=target, mend=f"{missing}make one with edgeml fleet release"
        )
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


class Claim(Enum):
    """By what right a device is flashed under a name."""

    NEW = "new"  # nobody has the name
    AGAIN = "again"  # it has the name itself, or somebody said that it takes the place of the one that has


@dataclass(frozen=True)
class Known:
    """The device that was flashed into a folder before: its name, and the fleet's key that it believes; empty: none."""

    device: str = ""
    fleet_key: str = ""


def claimed(project: Project, known: Known, device: str, *, replace: bool) -> Claim:
    """Return by what right `device` is flashed where `known` is; said before anything is packed or sent.

    Args:
        project: Whose fleet.
        known: What is there already; a device of another fleet that has the same name is not ours.
        device: The name.
        replace: Whether it may take the place of another device of this name.

    Raises:
        EdgemlError: Another device has the name.
    """
    store = Store.of(project)
    try:
        if replace or (known.device == device and known.fleet_key == public_key(project, store)):
            return Claim.AGAIN
        with store.reading() as connection:
            need_free(connection, device)
    finally:
        store.close()
    return Claim.NEW


def known_as(known: str, asked: str, default: str, *, where: str) -> str:
    """Return the name that a device is flashed with: the one that it has, if it was flashed before.

    Raises:
        EdgemlError: Another name was asked for; what waits in its outbox bears the old one, and no server would take it.
    """
    if known and asked and known != asked:
        raise EdgemlError(f"it is {known} already", where=where, mend="keep its name, or --uninstall it first")
    return known or asked or default


def enrolled(project: Project, claim: Claim, device: str, group: str, target: str) -> Enrolment:
    """Enrol a device by the right that it has; until it starts anew, an agent that it has already is let in no more.

    Raises:
        EdgemlError: Another device took the name meanwhile, the server does not run, or a name is none.
    """
    call = enrol_again if claim is Claim.AGAIN else enrol
    return call(project, device, group, target)


def prepare(project: Project, folder: Path, bundle: FirstBundle, enrolment: Enrolment, *, start: bytes) -> None:
    """Fill a device's folder; an agent must not run there.

    Args:
        project: Sets the length of its windows.
        folder: The device's folder, as it lies here.
        bundle: What it starts with.
        enrolment: What the server gave it: its name and secret.
        start: The script that starts the agent, see `launcher`.

    Raises:
        EdgemlError: The folder cannot be written.
    """
    slots.install(folder, bundle.file, release=bundle.release, target=bundle.target)
    here = DeviceFolder(folder)
    here.inbox.mkdir(parents=True, exist_ok=True)
    identity = Identity(
        device=enrolment.device,
        group=enrolment.group,
        target=enrolment.target,
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
