"""Flashing over ssh, against a real sshd: the agent starts with the device's own python3 and reports to a real server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from edgeml.flash import flash_device, uninstall
from edgeml.project import Project
from edgeml.server.store import Store
from edgeml.server.tables import DEVICES, REPORTS, WINDOWS
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import read_identity
from edgeml_targets.contract.errors import EdgemlError

pytestmark = pytest.mark.system
TARGET = "x86_64-onnxruntime"
LIMIT_S = 60.0


def eventually(ready: Any, what: str) -> None:
    for _ in range(int(LIMIT_S / 0.05)):
        if ready():
            return
        threading.Event().wait(0.05)
    pytest.fail(f"{what} did not come within {LIMIT_S:g} s")


def flash(project: Project, device: Any, name: str = "") -> Any:
    return flash_device(project, device.address, target=TARGET, device=name, ssh_options=device.options)


def refused(project: Project, device: Any) -> str:
    """Return the one line of a flash that is refused; nothing is left behind on the device."""
    with pytest.raises(EdgemlError) as caught:
        flash(project, device)
    assert "\n" not in str(caught.value)
    assert not device.folder.exists()
    return str(caught.value)


def rows(project: Project, table: sa.Table, device: str) -> list[Any]:
    store = Store.of(project)
    try:
        with store.reading() as connection:
            return list(connection.execute(sa.select(table).where(table.c.device == device)))
    finally:
        store.close()


def url_of(device: Any) -> str:
    file = DeviceFolder(device.folder).running
    eventually(file.exists, "the agent")
    return str(msgspec.json.decode(file.read_bytes())["url"])


def ask(device: Any) -> dict[str, Any]:
    image = np.zeros((16, 16, 3), np.uint8)
    file = device.root / "sample.npy"
    np.save(file, image)
    with urllib.request.urlopen(f"{url_of(device)}/infer", data=file.read_bytes()) as answer:
        return dict(json.load(answer))


def waiting(device: Any) -> int:
    with contextlib.closing(sqlite3.connect(DeviceFolder(device.folder).outbox)) as database:
        return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])


@contextlib.contextmanager
def watched_commands(into: set[str]) -> Iterator[None]:
    """Collect the command line and the environment of every process while the block runs, as `ps` would show them."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.002):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    into.add(file.read_text(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_agent_runs_on_the_device_s_own_python_and_reports(served: Project, device: Any) -> None:
    flashed = flash(served, device, "cam-1")
    assert (flashed.release, flashed.started) == ("r1", False)
    assert flashed.next == f"start it there with {device.folder}/agent"
    agent = device.run_agent()
    assert ask(device)["release"] == "r1"
    eventually(lambda: any(w.answers for w in rows(served, WINDOWS, "cam-1")), "a window in the store")
    about = rows(served, DEVICES, "cam-1")[0]
    assert about.release == "r1"
    pythons = subprocess.run(["/usr/bin/python3", "-c", "import platform; print(platform.python_version())"],
                             capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    assert about.python.startswith(pythons)
    modules = Path(f"/proc/{agent.pid}/maps").read_text()
    assert str(device.folder / "lib" / "numpy") in modules
    assert "site-packages" not in modules


def test_flashed_again_it_keeps_what_it_has_to_say_and_gets_no_library(served: Project, device: Any) -> None:
    first = flash(served, device, "cam-2")
    agent = device.run_agent()
    eventually(lambda: rows(served, REPORTS, "cam-2"), "the first report")
    agent.send_signal(signal.SIGSTOP)
    with pytest.raises(EdgemlError, match="its agent runs, and nothing of ours started it; stop it there first"):
        flash(served, device)
    agent.send_signal(signal.SIGCONT)
    agent.kill()
    agent.wait()
    with contextlib.closing(sqlite3.connect(DeviceFolder(device.folder).outbox)) as database, database:
        payload = b"what it has to say"
        database.execute("INSERT INTO messages (boot, sequence, payload) VALUES ('b', 1, ?)", (payload,))
    kept, library = waiting(device), (device.folder / "lib").stat().st_ino
    token = read_identity(device.folder).token
    again = flash(served, device)  # its name is known
    assert (again.device, again.release) == ("cam-2", first.release)
    assert waiting(device) == kept
    assert (device.folder / "lib").stat().st_ino == library, "the library was sent twice"
    assert read_identity(device.folder).token != token
    device.run_agent()
    ask(device)


def test_its_secret_is_in_no_command_and_no_log(served: Project, device: Any, small_library: object) -> None:
    commands: set[str] = set()
    with watched_commands(commands):
        flash(served, device, "cam-3")
    token = read_identity(device.folder).token
    assert any("ssh\0" in command for command in commands), "nothing was watched"
    assert not [command for command in commands if token in command]
    assert token not in device.log
    assert token not in (served.root / "serve.log").read_text()
    assert DeviceFolder(device.folder).identity.stat().st_mode & 0o777 == 0o600
    assert device.folder.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_cut_off_in_the_middle_and_repeated_it_is_whole(served: Project, device: Any) -> None:
    program = (
        "import sys; from pathlib import Path; from edgeml import load_project; from edgeml.flash import flash_device\n"
        "flash_device(load_project(Path(sys.argv[1])), sys.argv[2], target=sys.argv[3], device='cam-4', ssh_options=sys.argv[4:])"
    )
    command = [sys.executable, "-c", program, str(served.root), device.address, TARGET, *device.options]
    cut = 0
    for part in ("incoming/lib", "incoming/lib/numpy", "lib"):
        process = subprocess.Popen(command)
        eventually(lambda p=part, r=process: (device.folder / p).exists() or r.poll() is not None, part)
        cut += process.poll() is None
        process.kill()
        process.wait()
    assert cut >= 2, "it was never cut off"
    flash(served, device, "cam-4")
    assert not (device.folder / "incoming").exists()
    device.run_agent()
    assert ask(device)["release"] == "r1"


def test_uninstalled_it_leaves_nothing(served: Project, device: Any, small_library: object) -> None:
    flash(served, device, "cam-5")
    with (device.folder / "state" / "lock").open("w") as lock:  # as a running agent holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EdgemlError, match="its agent runs"):
            uninstall(device.address, ssh_options=device.options)
    assert DeviceFolder(device.folder).identity.exists()
    uninstall(device.address, ssh_options=device.options)
    assert not device.folder.exists()
    with pytest.raises(EdgemlError, match="there is no device; name the folder that was flashed"):
        uninstall(device.address, ssh_options=device.options)


def test_where_systemd_is_it_starts_and_is_started_anew(served: Project, device_with_systemd: Any) -> None:
    device = device_with_systemd
    flashed = flash(served, device, "cam-6")
    assert flashed.started
    first = msgspec.json.decode(DeviceFolder(device.folder).running.read_bytes())["pid"]
    assert ask(device)["release"] == "r1"
    flash(served, device)
    assert msgspec.json.decode(DeviceFolder(device.folder).running.read_bytes())["pid"] != first
    eventually(lambda: {r.event for r in rows(served, REPORTS, "cam-6")} >= {"started", "stopped"}, "both reports")
    uninstall(device.address, ssh_options=device.options)
    assert not device.folder.exists()
    assert not Path(f"/proc/{first}").exists()


def test_an_agent_that_does_not_start_is_said(
    served: Project, device_with_systemd: Any, small_library: object, monkeypatch: Any
) -> None:
    device = device_with_systemd
    monkeypatch.setattr("edgeml.flash.remote.START_LIMIT_S", 1)
    with pytest.raises(EdgemlError, match=r"its agent does not start: .*No module named edgeml_agent; see journalctl"):
        flash(served, device, "cam-10")
    uninstall(device.address, ssh_options=device.options)
    assert not device.folder.exists()


def test_what_is_no_device_s_is_left_alone(served: Project, device: Any) -> None:
    device.folder.mkdir()
    (device.folder / "thesis.txt").write_text("years of work")
    with pytest.raises(EdgemlError, match="something else lies there; choose an empty folder"):
        flash(served, device)
    with pytest.raises(EdgemlError, match="there is no device"):
        uninstall(device.address, ssh_options=device.options)
    assert [p.name for p in device.folder.iterdir()] == ["thesis.txt"]


def test_another_name_than_it_has_is_refused(served: Project, device: Any, small_library: object) -> None:
    flash(served, device, "cam-8")
    with pytest.raises(EdgemlError, match="it is cam-8 already; keep its name"):
        flash(served, device, "cam-9")


def test_another_architecture_is_refused(served: Project, device: Any) -> None:
    machine = "import platform; platform.machine = lambda: 'aarch64'"
    device.program(
        "python3", f'#!/bin/sh\nshift\nprogram="$1"; shift\nexec /usr/bin/python3 -c "{machine}\n$program" "$@"\n'
    )
    line = refused(served, device)
    assert "it is aarch64, x86_64-onnxruntime is for x86_64; choose a target for it" in line


def test_a_python_too_old_is_refused(served: Project, device: Any) -> None:
    old = "import sys; sys.version_info = (3, 9, 2)"
    device.program(
        "python3", f'#!/bin/sh\nshift\nprogram="$1"; shift\nexec /usr/bin/python3 -c "{old}\n$program" "$@"\n'
    )
    assert "its Python is 3.9, 3.10 is needed; install a newer python3 there" in refused(served, device)


def test_no_python_is_refused(served: Project, device: Any) -> None:
    device.only("sh", "id", "cat")
    assert "there is no python3; install python3 there" in refused(served, device)


def test_a_wrong_key_is_refused(served: Project, device: Any) -> None:
    key = device.root / "key"
    key.write_bytes((device.root / "other_key").read_bytes())
    (device.root / "key.pub").write_bytes((device.root / "other_key.pub").read_bytes())
    line = refused(served, device)
    assert "Permission denied" in line
    assert "--ssh-option IdentityFile=/path" in line


def test_an_unknown_host_is_refused(served: Project, device: Any) -> None:
    (device.root / "known_hosts").write_text("")
    assert "Host key verification failed.; connect once with ssh" in refused(served, device)


def test_a_host_that_does_not_answer_is_refused(served: Project, device: Any) -> None:
    device.stop()
    assert "Connection refused; check address, key and network" in refused(served, device)
    device.start(path="/usr/bin:/bin")
