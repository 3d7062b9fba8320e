"""Seeded stores, served pages and a browser; each is made once and only when a test asks for it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from fleets import fill  # noqa: E402
from seeding import Seed  # noqa: E402

START_LIMIT_S = 90.0


@dataclass
class Served:
    """A page that answers."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seed]:
    """Return a function that fills a store with a fleet, once a session; tests only read it."""
    made: dict[str, Seed] = {}

    def get(fleet: str) -> Seed:
        if fleet not in made:
            made[fleet] = fill(tmp_path_factory.mktemp(fleet), fleet, time.time())
        return made[fleet]

    return get


def serve(folder: Path, fleet: str) -> Served:
    """Start a server of its own process for a seeded fleet and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE / "serving.py"), str(folder), fleet, str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    served = Served(f"http://127.0.0.1:{port}", folder, process)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{served.url}/static/look.css", timeout=2):
                return served
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    served.stop()
    raise RuntimeError((folder / "server.log").read_text()[-2000:])


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Served]]:
    """Return a function that serves a fleet's page, once a session."""
    made: dict[str, Served] = {}

    def get(fleet: str) -> Served:
        if fleet not in made:
            made[fleet] = serve(tmp_path_factory.mktemp(f"served-{fleet}"), fleet)
        return made[fleet]

    yield get
    for one in made.values():
        one.stop()
