"""Where a running server is found: `fleet/server.json`, written when it is ready, removed when it ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

FILE: Final = "server.json"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A running server.

    Args:
        page_url: The fleet page, for people on this machine.
        server_url: Where devices fetch releases and bundles.
        broker_host, broker_port: Where devices reach the MQTT broker.
        pid: The server's process.
    """

    page_url: str
    server_url: str
    broker_host: str
    broker_port: int
    pid: int


def find_running(project: Project) -> Running | None:
    """Return the project's server, or `None` when none runs; what a killed one left behind counts as none."""
    try:
        found = msgspec.json.decode(_file(project).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if _alive(found.pid) else None


def need_running(project: Project) -> Running:
    """Return the project's server.

    Raises:
        EdgemlError: None runs.
    """
    found = find_running(project)
    if found is None:
        raise EdgemlError("the server does not run", where=str(_file(project)), mend="start it with edgeml serve")
    return found


def announce(project: Project, running: Running) -> None:
    """Say where the server is found."""
    write_atomic(_file(project), msgspec.json.format(msgspec.json.encode(running), indent=1))


def withdraw(project: Project) -> None:
    """Take back what `announce` said."""
    _file(project).unlink(missing_ok=True)


def _file(project: Project) -> Path:
    return project.fleet_folder / FILE


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
