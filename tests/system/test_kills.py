"""`kill -9` of the server with its broker, or of an agent, at ten random moments: no window is lost, none is there twice."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from edgeml import data
from edgeml.demo.world import Shown, World
from edgeml.flash import flash_device
from edgeml.project import Project
from edgeml.server.running import find_running
from edgeml.server.store import Store
from edgeml.server.tables import REPORTS, WINDOWS
from edgeml_agent.folder import DeviceFolder

pytestmark = pytest.mark.system
LIMIT_S = 90.0


def until(ready: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < ends, f"{what} did not come within {LIMIT_S:g} s"
        threading.Event().wait(0.02)


class Fleet:
    """A server that stays on the ports it found free at first, and two flashed agents; each can be killed and started again."""

    def __init__(self, project: Project, logs: Path) -> None:
        self.project, self.logs = project, logs
        self.ports = 0, 0
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.folders = {name: logs / name for name in ("one", "two")}

    def start(self, name: str) -> None:
        command = [str(self.folders[name] / "agent")] if name in self.folders else self._server()
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until(lambda: self._ready(name), name)

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()

    def url(self, name: str) -> str:
        return str(msgspec.json.decode(DeviceFolder(self.folders[name]).running.read_bytes())["url"])

    def _ready(self, name: str) -> bool:
        process = self.running[name]
        assert process.poll() is None, (self.logs / f"{name}.log").read_text()[-2000:]
        if name not in self.folders:
            found = find_running(self.project)
            if found is None or found.pid != process.pid:
                return False
            self.ports = urlsplit(found.page_url).port or 0, found.broker_port
            return True
        try:
            said = msgspec.json.decode(DeviceFolder(self.folders[name]).running.read_bytes())
        except (OSError, msgspec.MsgspecError):
            return False
        return bool(said["pid"] == process.pid)

    def _server(self) -> list[str]:
        http, mqtt = map(str, self.ports)
        project = str(self.project.root)
        return [sys.executable, "-m", "edgeml", "serve", "--project", project, "--port", http, "--mqtt-port", mqtt]


@contextmanager
def fleet_of(project: Project, logs: Path) -> Iterator[Fleet]:
    fleet = Fleet(project, logs)
    try:
        fleet.start("server")
        for name, target in zip(fleet.folders, project.targets, strict=True):
            flash_device(project, f"dir:{fleet.folders[name]}", target=target)
            fleet.start(name)
        yield fleet
    finally:
        for process in fleet.running.values():
            process.terminate()
        for process in fleet.running.values():
            process.wait(30)


class Witness:
    """Reads the agents' outboxes from outside and remembers every id that was ever written."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders, self.seen = folders, set[tuple[str, str, int]]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def waiting(self) -> int:
        return sum(len(self._read(name)) for name in self.folders)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for name in self.folders:
                self.seen |= self._read(name)

    def _read(self, name: str) -> set[tuple[str, str, int]]:
        path = DeviceFolder(self.folders[name]).outbox
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as database:
                return {
                    (name, boot, sequence) for boot, sequence in database.execute("SELECT boot, sequence FROM messages")
                }
        except sqlite3.OperationalError:
            return set()


def stored(store: Store) -> list[tuple[str, str, int]]:
    with store.reading() as connection:
        return [
            (row.device, row.boot, row.sequence)
            for table in (WINDOWS, REPORTS)
            for row in connection.execute(sa.select(table.c.device, table.c.boot, table.c.sequence))
        ]


def test_ten_kills_lose_and_double_no_message(project: Project, tmp_path: Path) -> None:
    seed = int(os.environ.get("EDGEML_SEED", time.time_ns() % 100_000))
    rng = random.Random(seed)
    dataset = data.prepare(project)
    live = dataset.splits["live"]
    scene = Shown(np.asarray(dataset.inputs[live]), dataset.labels[live])
    with fleet_of(project, tmp_path) as fleet, Witness(fleet.folders) as witness:
        killed = []
        for _ in range(10):
            with World([fleet.url(name) for name in fleet.folders], pause_s=0.02) as world:
                world.show(scene)
                world.tally(16, limit_s=LIMIT_S)
                threading.Event().wait(rng.uniform(0.0, 0.8))  # the moment is random: that is what is tried
            name = rng.choice(["server", "one", "two"])
            fleet.kill(name)
            killed.append(name)
            fleet.start(name)
        until(lambda: witness.waiting() == 0, f"a drained outbox (seed {seed})")
        store = Store.of(project)
        until(lambda: witness.seen <= set(stored(store)), "the last answer")
        found = stored(store)
        store.close()
    assert len(found) == len(set(found)), f"seed {seed}: a message is there twice"
    missing = witness.seen - set(found)
    assert not missing, f"seed {seed}, killed {killed}: lost {sorted(missing)[:5]}"
    by_boot: dict[tuple[str, str], list[int]] = {}
    for device, boot, sequence in found:
        by_boot.setdefault((device, boot), []).append(sequence)
    gaps = {boot: s for boot, s in by_boot.items() if sorted(s) != list(range(1, len(s) + 1))}
    assert not gaps, f"seed {seed}, killed {killed}: sequences with gaps {gaps}"
    assert len(by_boot) >= 2 + sum(name != "server" for name in killed)
