"""The demo's server and agents: started as a user starts them, and stopped whatever happens."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

import msgspec

from edgeml.project import Project
from edgeml.server import children
from edgeml.server.running import Running, find_running
from edgeml_agent.folder import DeviceFolder
from edgeml_targets.contract.errors import EdgemlError

READY_LIMIT_S: Final = 60.0
POLL_S: Final = 0.05
T = TypeVar("T")


class RunningAgent(msgspec.Struct, frozen=True):
    """What an agent says of itself in `state/agent.json`."""

    url: str
    pid: int
    release: str


class Processes:
    """Starts processes, each with a log file of its own, and stops them in reverse order at the end."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._started: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Processes:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, process in reversed(self._started):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for _, process in reversed(self._started):
            children.stop(process)

    def server(self, project: Project) -> Running:
        """Start `edgeml serve` on free ports and wait until it is ready."""
        process = self._start(
            "server", [sys.executable, "-m", "edgeml", "serve", "--project", str(project.root), "--port", "0"]
        )
        return self._wait("server", process, lambda: find_running(project))

    def agents(self, folders: Sequence[Path]) -> list[RunningAgent]:
        """Start the agent of each flashed folder and wait until all are ready."""
        processes = [self._start(folder.name, [str(folder / "agent")]) for folder in folders]
        return [
            self._wait(folder.name, process, lambda f=folder, p=process: _agent(f, p.pid))  # type: ignore[misc]
            for folder, process in zip(folders, processes, strict=True)
        ]

    def check(self) -> None:
        """Check that everything that was started still runs.

        Raises:
            EdgemlError: Something ended; its log's last line is told.
        """
        for name, process in self._started:
            if process.poll() is not None:
                raise self._ended(name, process)

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with self._log(name).open("wb") as log:
            process = children.start(command, output=log, errors=log)
        self._started.append((name, process))
        return process

    def _wait(self, name: str, process: subprocess.Popen[bytes], ready: Callable[[], T | None]) -> T:
        for _ in _polls(READY_LIMIT_S):
            if (found := ready()) is not None:
                return found
            if process.poll() is not None:
                raise self._ended(name, process)
        raise EdgemlError(f"not ready within {READY_LIMIT_S:g} s", where=name, mend=f"see {self._log(name)}")

    def _ended(self, name: str, process: subprocess.Popen[bytes]) -> EdgemlError:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return EdgemlError(
            f"it ended with {process.returncode}: {lines[-1] if lines else 'silent'}",
            where=name,
            mend=f"see {self._log(name)}",
        )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def wait_for(what: str, ready: Callable[[], T | None], *, limit_s: float, processes: Processes) -> T:
    """Return what `ready` gives once it is not `None`, looking several times a second.

    Raises:
        EdgemlError: `limit_s` went by, or a process ended.
    """
    for _ in _polls(limit_s):
        if (found := ready()) is not None:
            return found
        processes.check()
    raise EdgemlError(f"did not come within {limit_s:g} s", where=what, mend="see the logs in edgeml-demo/logs")


def _polls(limit_s: float) -> Iterator[None]:
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        yield
        time.sleep(POLL_S)


def _agent(folder: Path, pid: int) -> RunningAgent | None:
    try:
        found = msgspec.json.decode(DeviceFolder(folder).running.read_bytes(), type=RunningAgent)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.pid == pid else None
