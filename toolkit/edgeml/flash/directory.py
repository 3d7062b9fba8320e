"""Flash into a folder of this machine, `dir:PATH`: for a gateway or industrial PC at hand, for tests, and for the demo."""

from __future__ import annotations

import fcntl
import shutil
import sys
from pathlib import Path

from edgeml.flash.stage import Claim, Known, enrolled, launcher, prepare, released
from edgeml.project import Project
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import read_identity
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import told


def write(project: Project, folder: Path, claim: Claim, *, device: str, group: str, target: str) -> str:
    """Prepare a device's folder; return the release in it.

    Raises:
        EdgemlError: There is no release for the target, something else lies in the folder, an agent runs there, or the
            server does not run.
    """
    name, bundle = released(project, target)
    here = DeviceFolder(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not here.identity.exists():
        raise EdgemlError("something else lies there", where=str(folder), mend="choose an empty folder")
    _need_stopped(here)
    enrolment = enrolled(project, claim, device, group, target)
    prepare(project, folder, bundle, enrolment, start=launcher(sys.executable))
    return name


def remove(folder: Path) -> None:
    """Remove a device's folder.

    Raises:
        EdgemlError: There is no device, or its agent runs.
    """
    here = DeviceFolder(folder)
    if not here.identity.exists():
        raise EdgemlError("there is no device", where=str(folder), mend="name the folder that was flashed")
    _need_stopped(here)
    with told(folder):
        shutil.rmtree(folder)


def device_in(folder: Path) -> Known:
    """Return the device whose folder it is; an empty one where it is none's yet."""
    try:
        identity = read_identity(folder)
    except EdgemlError:
        return Known()
    return Known(identity.device, identity.fleet_key)


def _need_stopped(here: DeviceFolder) -> None:
    """Ask the agent's own lock: a process number may have been given to another process since."""
    try:
        lock = (here.root / "state" / "lock").open("rb")
    except FileNotFoundError:
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EdgemlError("its agent runs", where=str(here.root), mend="stop it first") from error
