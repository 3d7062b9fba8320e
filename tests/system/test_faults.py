"""A full disk, a read-only one, a port in use, and files that are not what they are named: one line, and nothing half-written.

Disks are small file systems in a mount namespace of the test's own thread: what it and its children do there, nobody
else sees, and it is gone with them.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeml import ledger
from edgeml.flash import flash_device
from edgeml.gates import Phase, Verdict
from edgeml.ledger import Record
from edgeml.project import Project, load_project
from edgeml.server.running import find_running
from edgeml_agent.folder import DeviceFolder
from edgeml_targets.contract.errors import EdgemlError

pytestmark = pytest.mark.system
CLONE_FS, CLONE_NEWNS = 0x00000200, 0x00020000
TARGET = "x86_64-onnxruntime"
LIMIT_S = 60.0
FULL, READ_ONLY = "No space left on device", "Read-only file system"


def apart(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a thread with a mount namespace of its own; skip aloud where that can't be had, but not in CI."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        with ThreadPoolExecutor(1, initializer=_unshare) as thread:
            thread.submit(test, **fixtures).result()

    return run


def _unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_FS | CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class Disk:
    """A small file system at `root`; made by the thread of the test."""

    def __init__(self, root: Path, megabytes: int) -> None:
        self.root, self._ballast = root, root / "ballast"
        root.mkdir(parents=True)
        options = f"size={megabytes}m"
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "disk", str(root)], capture_output=True)
        if mounted.returncode or not root.is_mount():
            reason = "no mount namespace of our own can be had: full and read-only disks are not tried here"
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)

    def fill(self, leave_bytes: int = 0) -> None:
        """Take all space but `leave_bytes`."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * (1 << 16)):
                pass
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * (1 << 12)):
                pass
        os.truncate(self._ballast, self._ballast.stat().st_size - leave_bytes)

    def free(self) -> None:
        self._ballast.unlink()

    def read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", str(self.root)], check=True)

    def writable(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", str(self.root)], check=True)


def edgeml(*words: str | Path, here: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeml", *map(str, words)]
    return subprocess.run(command, cwd=here, capture_output=True, text=True, check=False, timeout=240)


def refused(done: subprocess.CompletedProcess[str], *reasons: str) -> str:
    """Return the one line of a refusal: exit code 2, nothing on standard output, steps that were done before it aside."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if "[ok]" not in line and "✓" not in line]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert all(reason in lines[0] for reason in reasons), lines[0]
    return lines[0]


def files(folder: Path) -> dict[str, int]:
    """Return every file below a folder and its size. Locks and the ballast are no results, and the ledger only grows."""
    left_out = {"ballast", "server.lock"}
    return {
        str(p.relative_to(folder)): p.stat().st_size
        for p in folder.rglob("*")
        if p.is_file() and p.name not in left_out and not {"__pycache__", "lifecycle"} & set(p.parts)
    }


def until(ready: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < ends, f"{what} did not come within {LIMIT_S:g} s"
        threading.Event().wait(0.02)


def on_disk(made: Path, root: Path, megabytes: int) -> tuple[Disk, Path]:
    """Return a disk with a copy of the made project on it."""
    disk = Disk(root, megabytes)
    shutil.copytree(made, root / "shapes")
    return disk, root / "shapes"


@apart
def test_train_compress_and_data_add_on_a_full_and_on_a_read_only_disk(made: Path, tmp_path: Path) -> None:
    disk, here = on_disk(made, tmp_path / "disk", 40)
    shutil.rmtree(here / ".edgeml" / "models")
    shutil.rmtree(here / ".edgeml" / "compressed")
    rng = np.random.default_rng(1)
    fresh = tmp_path / "fresh.npz"
    labels = np.array(["row", "column", "falling", "rising"] * 10)
    np.savez(fresh, inputs=rng.uniform(0, 1, (40, 1, 12, 12)).astype("f4"), labels=labels)
    before = files(here)
    for spoil, mend, reason in ((disk.fill, disk.free, FULL), (disk.read_only, disk.writable, READ_ONLY)):
        spoil()
        refused(edgeml("train", "--json", here=here), reason)
        refused(edgeml("data", "add", fresh, "--json", here=here), reason)
        assert files(here) == before, "something was left behind"
        mend()
    disk.fill(leave_bytes=60_000)  # enough to begin
    refused(edgeml("train", "--json", here=here), FULL)
    assert not [name for name in files(here) if "/models/" in name or ".new-" in name]
    disk.free()
    assert edgeml("data", "add", fresh, "--json", here=here).returncode == 0
    trained = edgeml("train", "--json", here=here)
    assert trained.returncode == 0, trained.stderr
    before = files(here)
    for spoil, mend, reason in ((disk.fill, disk.free, FULL), (disk.read_only, disk.writable, READ_ONLY)):
        spoil()
        refused(edgeml("compress", "--json", here=here), reason)
        assert files(here) == before, "something was left behind"
        mend()
    compressed = edgeml("compress", "--json", here=here)  # whether this model beats the champion is another question
    assert len(json.loads(compressed.stdout)["targets"]) == 2, compressed.stderr
    assert edgeml("lifecycle", "verify", here=here).returncode == 0


@apart
def test_the_ledger_on_a_full_disk_stays_whole(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", 1)
    path = disk.root / "lifecycle" / "ledger.jsonl"
    append(path, "first")
    refusals = 0
    for step, leave_bytes in enumerate(range(0, 1 << 15, 1 << 12)):
        disk.fill(leave_bytes)
        for i in range(12):  # lines grow into the free pages: each kind of write is the one that is refused, once
            try:
                append(path, f"{step}-{i}" + "x" * 700)
            except EdgemlError as error:
                refusals += 1
                assert FULL in str(error)
                assert not path.exists() or path.read_bytes().endswith(b"\n"), "a line was left half"
        disk.free()
        assert ledger.verify(path, {}) == []
        assert not list(path.parent.rglob(".*")), "a temporary file was left"
        append(path, f"after {step}")
    assert refusals > 20
    assert ledger.verify(path, {}) == []
    disk.read_only()
    with pytest.raises(EdgemlError, match=READ_ONLY):
        append(path, "never")
    assert ledger.verify(path, {}) == []


def append(path: Path, subject: str) -> None:
    record = Record(
        number=0,
        at=0.0,
        by="test",
        phase=Phase.DEPLOYMENT,
        gate="g",
        requirement="r",
        risk="r",
        check="c",
        subject=subject,
        threshold="t",
        value="v",
        reason="",
        verdict=Verdict.PASS,
        evidence="",
        previous="",
    )
    ledger.append(path, subject.encode(), record)


@apart
def test_a_server_on_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_space(
    made: Path, tmp_path: Path
) -> None:
    disk, here = on_disk(made, tmp_path / "disk", 60)
    project = load_project(here)
    with serving(project, tmp_path) as log, agent_of(project, tmp_path / "cam-1", tmp_path) as agent:
        until(lambda: stored(project), "a first message")
        disk.fill()
        until(lambda: "database or disk is full" in log.read_text(), "a word about the full disk")
        kept = set(stored(project))
        until(lambda: len(waiting(agent)) >= 10, "messages that wait")
        missing = set(waiting(agent))
        assert set(stored(project)) == kept, "it stored without space"
        assert len(missing - kept) >= 8, "it named as stored what was not"  # the last answers before may be under way
        disk.free()
        until(lambda: missing <= set(stored(project)), "what had waited")
        assert find_running(project) is not None
    found = stored(project)
    assert len(found) == len(set(found))
    by_boot: dict[str, set[int]] = {}
    for boot, sequence in found:
        by_boot.setdefault(boot, set()).add(sequence)
    assert all(sequences == set(range(1, max(sequences) + 1)) for sequences in by_boot.values()), "a gap"


@apart
def test_an_agent_on_a_full_disk_answers_on_and_tells_it_all_afterwards(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "shapes")
    project = load_project(tmp_path / "shapes")
    disk = Disk(tmp_path / "disk", 8)
    with serving(project, tmp_path), agent_of(project, disk.root / "cam-1", tmp_path) as agent:
        answered = ask(agent, 20)
        disk.fill()
        log = tmp_path / "agent.log"
        until(lambda: "the window stays open" in log.read_text(), "a word about the full disk")
        answered += ask(agent, 30)
        disk.free()
        until(lambda: answers(project) == answered, "every answer in a window, once")
    disk.read_only()  # started by hand, so that its last line is ours to read
    done = subprocess.run([str(agent.root / "agent")], capture_output=True, text=True, check=False, timeout=60)
    refused(done, READ_ONLY)


def test_a_port_in_use_is_named(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "shapes")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for option, other in (("--port", "--mqtt-port"), ("--mqtt-port", "--port")):
            done = edgeml("serve", option, port, other, "0", "--json", here=tmp_path / "shapes")
            refused_server(done, port)
    assert find_running(load_project(tmp_path / "shapes")) is None


def refused_server(done: subprocess.CompletedProcess[str], port: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert port in line and "Traceback" not in done.stderr


@pytest.mark.parametrize("spoilt", ["not a number", "one class", "no rows"])
def test_data_that_cannot_be_learned_from_is_refused(made: Path, tmp_path: Path, spoilt: str) -> None:
    here = tmp_path / "project"
    here.mkdir()
    toml = (made / "edgeml.toml").read_text().replace('"shapes:draw"', '"samples.npz"')
    (here / "edgeml.toml").write_text(toml)
    (here / "shapes.py").write_text((made / "shapes.py").read_text())
    inputs = np.random.default_rng(0).normal(0, 1, (400, 1, 12, 12)).astype("f4")
    labels = np.arange(400) % 4
    if spoilt == "not a number":
        inputs[17, 0, 3, 4] = np.nan
    elif spoilt == "one class":
        labels = np.zeros(400, int)
    else:
        inputs, labels = inputs[:0], labels[:0]
    np.savez(here / "samples.npz", inputs=inputs, labels=labels)
    before = files(here)
    for command in (["data", "check"], ["train"]):
        refused(edgeml(*command, "--json", here=here), "samples.npz")
        assert files(here) == before, "something was left behind"


def test_a_file_that_is_no_model_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "shapes")
    here = tmp_path / "shapes"
    (model,) = (here / ".edgeml" / "models").glob("*/*.onnx")
    (here / "text.onnx").write_text("this is a letter to my aunt\n")
    (here / "cut.onnx").write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    np.save(here / "samples.npy", np.zeros((30, 1, 12, 12), "f4"))
    before = files(here)
    for name in ("text.onnx", "cut.onnx", "missing.onnx"):
        refused(edgeml("import", name, "--json", here=here), name)
        refused(edgeml("bench", name, "--json", here=here), name)
        compress = ["compress", name, "--calibration", "samples.npy", "--out", "out", "--json"]
        refused(edgeml(*compress, here=here), name)
    assert files(here) == before, "something was left behind"
    assert not (here / "out").exists()


def test_an_unknown_target_is_refused_with_the_nearest(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "shapes")
    here = tmp_path / "shapes"
    (model,) = (here / ".edgeml" / "models").glob("*/*.onnx")
    before = files(here)
    wrong, nearest = "x86_64-onnxruntim", "x86_64-onnxruntime"
    np.save(tmp_path / "samples.npy", np.zeros((30, 1, 12, 12), "f4"))
    compress = ["compress", model, "--calibration", tmp_path / "samples.npy", "--out", here / "out", "--json"]
    refused(edgeml(*compress, "--target", wrong, here=here), wrong, nearest)
    refused(edgeml("bench", model, "--target", wrong, "--json", here=here), wrong, nearest)
    refused(edgeml("flash", f"dir:{tmp_path}/cam", "--target", wrong, "--json", here=here), wrong, nearest)
    toml = (here / "edgeml.toml").read_text()
    (here / "edgeml.toml").write_text(toml.replace(nearest, wrong, 1))
    refused(edgeml("train", "--json", here=here), "edgeml.toml", wrong, nearest)
    (here / "edgeml.toml").write_text(toml)
    assert files(here) == before, "something was left behind"
    assert not (tmp_path / "cam").exists()


@contextlib.contextmanager
def serving(project: Project, logs: Path) -> Iterator[Path]:
    """Run the project's server; yield its log."""
    log = logs / "server.log"
    command = [sys.executable, "-m", "edgeml", "serve", "--project", str(project.root), "--port", "0"]
    with log.open("wb") as file, ended(subprocess.Popen(command, stdout=file, stderr=file)) as server:
        until(lambda: find_running(project) or server.poll() is not None, "the server")
        assert server.poll() is None, log.read_text()
        try:
            yield log
        finally:
            shutil.copy(project.fleet_folder / "broker" / "nats.log", logs)  # the disk is gone with the test


@contextlib.contextmanager
def agent_of(project: Project, folder: Path, logs: Path) -> Iterator[DeviceFolder]:
    flash_device(project, f"dir:{folder}", target=TARGET)
    device = DeviceFolder(folder)
    with (logs / "agent.log").open("wb") as log:
        process = subprocess.Popen([str(folder / "agent")], stdout=log, stderr=log)
    with ended(process):
        until(device.running.exists, "the agent")
        yield device


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ask(agent: DeviceFolder, samples: int) -> int:
    """Have an agent answer `samples` samples; return how many it answered."""
    import io

    sample = io.BytesIO()
    np.save(sample, np.zeros((1, 12, 12), "f4"))
    url = msgspec.json.decode(agent.running.read_bytes())["url"]
    for _ in range(samples):
        with urllib.request.urlopen(f"{url}/infer", data=sample.getvalue(), timeout=30) as answer:
            assert answer.status == 200
    return samples


def rows(database: Path, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=20)) as connection:
        return connection.execute(statement).fetchall()


def waiting(agent: DeviceFolder) -> list[tuple[str, int]]:
    return rows(agent.outbox, "SELECT boot, sequence FROM messages")


def stored(project: Project) -> list[tuple[str, int]]:
    store = project.fleet_folder / "fleet.db"
    return rows(store, "SELECT boot, sequence FROM windows UNION ALL SELECT boot, sequence FROM reports")


def answers(project: Project) -> int:
    return int(rows(project.fleet_folder / "fleet.db", "SELECT coalesce(sum(answers), 0) FROM windows")[0][0])
