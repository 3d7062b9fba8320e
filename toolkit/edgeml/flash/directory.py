"""Flash into a folder of this machine, `dir:PATH`: for a gateway or industrial PC at hand, for tests, and for the demo."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import msgspec

from edgeml.flash.stage import prepare, released
from edgeml.project import Project
from edgeml_agent.folder import DeviceFolder
from edgeml_targets.contract.errors import EdgemlError


class _Running(msgspec.Struct):
    pid: int


def write(project: Project, folder: Path, *, device: str, group: str, target: str) -> str:
    """Prepare a device's folder; return the release in it.

    Raises:
        EdgemlError: There is no release for the target, something else lies in the folder, or an agent runs there.
    """
    name, bundle = released(project, target)
    here = DeviceFolder(folder)
    if folder.exists() and any(folder.iterdir()) and not here.identity.exists():
        raise EdgemlError("something else lies there", where=str(folder), mend="choose an empty folder")
    _need_stopped(here)
    prepare(project, folder, bundle, device=device, group=group, python=sys.executable)
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
    shutil.rmtree(folder)


def _need_stopped(here: DeviceFolder) -> None:
    try:
        pid = msgspec.json.decode(here.running.read_bytes(), type=_Running).pid
        os.kill(pid, 0)
    except (OSError, msgspec.MsgspecError):
        return
    raise EdgemlError(f"its agent runs, process {pid}", where=str(here.root), mend="stop it first")
