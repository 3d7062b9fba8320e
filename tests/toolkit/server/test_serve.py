"""`edgeml serve`, as a process: what it refuses, how it ends, and that no window is lost or doubled however it ends."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from edgeml.project import Project, load_project
from edgeml.server.broker import Address, free_port, token_hash
from edgeml.server.enrol import enrol
from edgeml.server.running import find_running
from edgeml.server.store import Store
from edgeml.server.tables import WINDOWS

pytestmark = pytest.mark.system
LIMIT_S = 60.0
TARGET = "x86_64-onnxruntime"
PROJECT = f"""
name = "demo"
scope = "tests"
targets = ["{TARGET}"]

[data]
source = "digits.npz"

[fleet]
window_s = 0.5
"""


class Server:
    """A server process that can be killed and started again on the ports that it found free at first."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ports = (0, 0)
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, Any]:
        http, mqtt = self.ports
        command = edgeml(self.project, "--port", str(http), "--mqtt-port", str(mqtt), "--json")
        with (self.project.root / "serve.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.project.root / "serve.log").read_text()
        told: dict[str, Any] = json.loads(line)
        running = find_running(self.project)
        assert running is not None
        self.ports = (urlsplit(running.page_url).port or 0, running.broker_port)
        return told

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def folder(tmp_path: Path) -> Project:
    (tmp_path / "edgeml.toml").write_text(PROJECT)
    return load_project(tmp_path)


@pytest.fixture
def server(folder: Project) -> Iterator[Server]:
    found = Server(folder)
    yield found
    if found.process is not None and found.process.poll() is None:
        found.end(signal.SIGKILL)


def edgeml(project: Project, *options: str) -> Sequence[str]:
    return [sys.executable, "-m", "edgeml", "serve", "--project", str(project.root), *options]


def refused(project: Project, *options: str) -> str:
    """Return the one line with which a server refuses to start."""
    done = subprocess.run(edgeml(project, *options), capture_output=True, text=True, timeout=LIMIT_S)
    (line,) = [line for line in done.stderr.splitlines() if "WARNING" not in line]
    assert (done.returncode, done.stdout) == (2, "")
    assert broker_of(project) == []
    return line


def broker_of(project: Project) -> list[int]:
    """Return the processes that run this project's broker."""
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(project.fleet_folder / "broker" / "nats.conf").encode() in cmdline.read_bytes():
                found.append(int(cmdline.parent.name))
        except OSError:
            continue
    return found


def gone(project: Project) -> bool:
    limit = time.monotonic() + LIMIT_S
    while broker_of(project) and time.monotonic() < limit:
        threading.Event().wait(0.02)
    return not broker_of(project)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_nothing_is_left(server: Server, folder: Project, number: signal.Signals) -> None:
    told = server.start()
    running = find_running(folder)
    assert running is not None
    assert (running.page_url, running.broker_port, running.pid) == (told["page_url"], server.ports[1], told["pid"])
    assert len(broker_of(folder)) == 1
    assert server.end(number) == 0
    assert gone(folder)
    assert not (folder.fleet_folder / "server.json").exists()


def test_it_says_once_that_it_is_ready(folder: Project) -> None:
    command = edgeml(folder, "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.terminate()
        assert "Ctrl-C ends the server" in first and "http://" not in process.stderr.read()


def test_killed_it_takes_its_broker_along_and_starts_again(server: Server, folder: Project) -> None:
    server.start()
    server.end(signal.SIGKILL)
    assert gone(folder)
    assert find_running(folder) is None
    server.start()
    assert server.end(signal.SIGTERM) == 0


def test_a_second_server_of_the_project_is_refused(server: Server, folder: Project) -> None:
    told = server.start()
    done = subprocess.run(
        edgeml(folder, "--port", "0", "--mqtt-port", "0"), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert told["page_url"] in done.stderr


@pytest.mark.parametrize("option", ["--port", "--mqtt-port"])
def test_a_port_in_use_is_one_line_that_names_it(folder: Project, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        free = "--mqtt-port" if option == "--port" else "--port"
        assert f"port {port} on 127.0.0.1" in refused(folder, option, port, free, "0")


def test_beyond_loopback_it_needs_devices_with_credentials(folder: Project) -> None:
    line = refused(folder, "--listen", "0.0.0.0", "--port", "0", "--mqtt-port", "0")
    assert "--listen 0.0.0.0: no device has credentials" in line


def test_beyond_loopback_with_credentials_it_serves_devices(server: Server, folder: Project) -> None:
    store = Store.of(folder)
    with store.writing() as connection:
        from edgeml.server.tables import CREDENTIALS

        row = {"device": "line-b-07", "token_hash": token_hash("secret"), "changed_at": 0.0}
        connection.execute(sa.insert(CREDENTIALS).values(row))
    store.close()
    command = edgeml(folder, "--listen", "0.0.0.0", "--port", "0", "--mqtt-port", "0", "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["page_url"].startswith("http://127.0.0.1:")
        process.terminate()
    assert process.returncode == 0


def test_a_broker_that_is_not_there_is_one_line(folder: Project) -> None:
    port = free_port("127.0.0.1", 0)
    line = refused(folder, "--broker", f"mqtt://me:secret@127.0.0.1:{port}", "--port", "0")
    assert f"127.0.0.1:{port}" in line
    assert "secret" not in line


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_a_server_killed_again_and_again_loses_and_doubles_no_window(
    server: Server, folder: Project, world: Any, connect_device: Any, kills: int
) -> None:
    moments = random.Random(14)
    server.start()
    token = enrol(folder, "line-b-07", "line-b", TARGET).token
    device = connect_device(Address("127.0.0.1", server.ports[1]), token)
    sent = []
    for _ in range(kills):
        for _ in range(moments.randint(20, 60)):
            sent.append(world.window(5))
            device.send(sent[-1])
            threading.Event().wait(moments.uniform(0, 0.01))  # the traffic of a device, not a wait for something
        server.end(signal.SIGKILL)
        device.send(*(more := [world.window(5) for _ in range(5)]))  # said while nobody listens
        sent += more
        server.start()
    assert device.drained()
    store = Store.of(folder)
    with store.reading() as connection:
        kept = connection.execute(sa.select(WINDOWS.c.boot, WINDOWS.c.sequence).order_by(WINDOWS.c.sequence)).all()
    store.close()
    assert [tuple(row) for row in kept] == [(w.boot, w.sequence) for w in sent]
    assert server.end(signal.SIGTERM) == 0


def test_a_broker_that_dies_alone_is_started_anew_and_nothing_is_lost(
    server: Server, folder: Project, world: Any, connect_device: Any
) -> None:
    server.start()
    token = enrol(folder, "line-b-07", "line-b", TARGET).token
    device = connect_device(Address("127.0.0.1", server.ports[1]), token)
    device.send(*(world.window(5) for _ in range(20)))
    (pid,) = broker_of(folder)
    os.kill(pid, signal.SIGKILL)
    device.send(*(world.window(5) for _ in range(20)))
    assert device.drained()
    assert broker_of(folder) != [pid]
    assert server.end(signal.SIGTERM) == 0


def test_beyond_loopback_one_line_says_that_tokens_go_in_clear_and_a_broker_may_come_by_the_environment(
    folder: Project, server: Server
) -> None:
    server.start()
    enrol(folder, "line-b-07", "line-b", TARGET)
    server.end(signal.SIGTERM)
    assert "in clear" not in (folder.root / "serve.log").read_text()
    process = subprocess.Popen(
        edgeml(folder, "--listen", "0.0.0.0", "--port", "0", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    said = process.communicate(timeout=LIMIT_S)[1]
    assert sum("tokens go in clear over HTTP and MQTT" in line for line in said.splitlines()) == 1
    closed = f"mqtt://me:open-sesame@127.0.0.1:{free_port('127.0.0.1', 0)}"
    done = subprocess.run(
        edgeml(folder, "--port", "0"),
        env=os.environ | {"EDGEML_BROKER": closed},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.returncode, "open-sesame" in done.stderr) == (2, False)
    assert "the broker does not take us" in done.stderr
