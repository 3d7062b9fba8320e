"""The agent as a process of its own, with a real broker and a server that keeps what it is told; processes are really killed."""

from __future__ import annotations

import json
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeml_agent import AGENT_VERSION
from edgeml_agent.identity import Identity, write_identity
from edgeml_agent.slots import MOST_TRIALS, State, read_journal

TARGET = "x86_64-onnxruntime"
Npy = Callable[[np.ndarray], bytes]
Pixels = Callable[..., np.ndarray]
Pack = Callable[..., Path]
Eventually = Callable[..., None]


def test_it_answers_a_sample_and_a_stack_and_says_so_in_windows(
    device: Any, fleet: Any, npy: Npy, pixels: Pixels, eventually: Eventually
) -> None:
    device.start().ready()
    status, one = device.post(npy(pixels(1)[0]))
    assert status == 200
    assert one["release"] == "r1"
    assert set(one["answers"][0]) == {"label", "class", "confidence", "unknown", "distance", "latency_us"}
    status, many = device.post(npy(pixels(50)))
    assert (status, len(many["answers"])) == (200, 50)
    eventually(lambda: sum(w.answers for w in fleet.windows()) == 51, "all answers are in windows")
    assert device.stop() == 0, device.log()
    started = fleet.reports("started")[0]
    assert (started.agent, started.release) == (AGENT_VERSION, "r1")
    eventually(lambda: fleet.reports("stopped"), "it said that it stopped")
    assert not (device.root / "state" / "agent.json").exists()


def test_the_last_answers_before_the_end_are_in_a_window(
    device: Any, fleet: Any, npy: Npy, pixels: Pixels, eventually: Eventually
) -> None:
    device.start().ready()
    device.post(npy(pixels(7)))
    assert device.stop() == 0
    eventually(lambda: sum(w.answers for w in fleet.windows()) == 7, "none is lost")


def test_interrupting_ends_it_as_well(device: Any) -> None:
    device.start().ready()
    device.process.send_signal(signal.SIGINT)
    assert device.process.wait(20) == 0


def test_health_names_the_release(device: Any) -> None:
    device.start().ready()
    with urllib.request.urlopen(device.running()["url"] + "/health") as answer:
        health = json.loads(answer.read())
    assert (health["device"], health["release"], health["target"]) == ("cam-1", "r1", TARGET)


def test_the_watched_folder_is_answered(device: Any, npy: Npy, pixels: Pixels, eventually: Eventually) -> None:
    device.start().ready()
    for i in range(5):
        (device.root / "inbox" / f"{i}.npy").write_bytes(npy(pixels(1, seed=i)[0]))
    eventually(lambda: len(list((device.root / "inbox").glob("*.json"))) == 5, "five answers")
    assert json.loads((device.root / "inbox" / "3.json").read_text())["release"] == "r1"


def test_a_folder_that_is_no_device_s_is_left_as_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeml_agent", "run", "--folder", str(tmp_path / "none")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no identity here" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_agents_do_not_run_in_one_folder(device: Any) -> None:
    device.start().ready()
    second = subprocess.run(
        [sys.executable, "-m", "edgeml_agent", "run", "--folder", str(device.root)], capture_output=True, text=True
    )
    assert second.returncode == 2
    assert second.stderr.strip().endswith("another agent runs here; stop it first")
    assert device.running()["pid"] == device.process.pid


@pytest.mark.parametrize("spoil", ["identity.json", "journal.json", "slots/a", "port"])
def test_what_cannot_run_says_why_in_one_line(device: Any, identity: Identity, spoil: str) -> None:
    named = spoil
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if spoil == "identity.json":
            (device.root / spoil).write_text("{}")
        elif spoil == "journal.json":
            (device.root / "state" / spoil).unlink()
        elif spoil == "slots/a":
            (device.root / spoil / "manifest.json").unlink()
        else:
            port = taken.getsockname()[1]
            named = f"127.0.0.1:{port}"
            write_identity(device.root, msgspec.structs.replace(identity, http_port=port))
        done = subprocess.run(
            [sys.executable, "-m", "edgeml_agent", "run", "--folder", str(device.root)], capture_output=True, text=True
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert not (device.root / "state" / "agent.json").exists()


@contextmanager
def traffic(device: Any, body: bytes) -> Iterator[list[int]]:
    """Post without a pause while the block runs; yield the statuses, which grow."""
    statuses: list[int] = []
    done = threading.Event()

    def post() -> None:
        while not done.is_set():
            statuses.append(device.post(body)[0])

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield statuses
    finally:
        done.set()
        thread.join(20)


def test_an_update_never_interrupts_serving(
    device: Any, fleet: Any, pack: Pack, npy: Npy, pixels: Pixels, eventually: Eventually
) -> None:
    device.start().ready()
    with traffic(device, npy(pixels(2))) as statuses:
        eventually(lambda: len(statuses) > 20, "traffic")
        fleet.say("cam-1", fleet.release("r2", {TARGET: pack("m2")}))
        eventually(lambda: device.running()["release"] == "r2", "the update")
        after = len(statuses)
        eventually(lambda: len(statuses) > after + 20, "more traffic")
    assert set(statuses) == {200}
    eventually(lambda: fleet.reports("switched"), "it says so")
    assert device.stop() == 0
    eventually(lambda: sum(w.answers for w in fleet.windows()) == 2 * len(statuses), "every answer is in a window")
    assert {w.release for w in fleet.windows() if w.answers} == {"r1", "r2"}


def test_a_release_that_fails_its_self_test_leaves_the_good_one_serving(
    device: Any, fleet: Any, pack: Pack, npy: Npy, pixels: Pixels, eventually: Eventually
) -> None:
    device.start().ready()
    with traffic(device, npy(pixels(1))) as statuses:
        fleet.say("cam-1", fleet.release("r2", {TARGET: pack("m2", spoilt=True)}))
        eventually(lambda: fleet.reports("rolled_back"), "it says so")
    assert set(statuses) == {200}
    report = fleet.reports("rolled_back")[0]
    assert (report.release, report.offered) == ("r1", "r2")
    assert device.post(npy(pixels(1)))[1]["release"] == "r1"


def journal_says(device: Any, state: State) -> bool:
    return read_journal(device.root / "state" / "journal.json").state is state


def test_killed_while_fetching_it_starts_with_the_old_and_fetches_again(
    device: Any, fleet: Any, pack: Pack, eventually: Eventually
) -> None:
    device.start().ready()
    held = threading.Event()
    fleet._http.hold = held  # the bundle does not come while this is not set
    offer = fleet.release("r2", {TARGET: pack("m2")})
    fleet.say("cam-1", offer)
    eventually(lambda: any("bundles" in r for r in fleet.requests), "it fetches")
    device.kill()
    held.set()
    device.start().ready()
    assert device.running()["release"] == "r1"
    fleet.say("cam-1", offer)
    eventually(lambda: device.running()["release"] == "r2", "the update")


def test_killed_while_trying_again_and_again_it_gives_the_release_up(
    device: Any, fleet: Any, pack: Pack, eventually: Eventually
) -> None:
    offer = fleet.release("r2", {TARGET: pack("m2")})
    for _ in range(MOST_TRIALS):
        device.start().ready()
        assert device.running()["release"] == "r1"
        fleet.say("cam-1", offer)
        eventually(lambda: journal_says(device, State.TRYING), "it tries the bundle")
        device.kill()
    device.start().ready()
    assert device.running()["release"] == "r1"
    eventually(lambda: fleet.reports("rolled_back"), "it says so")
    assert f"cut off {MOST_TRIALS} times" in fleet.reports("rolled_back")[0].detail


def test_killed_while_committing_it_starts_with_the_new(
    device: Any, fleet: Any, pack: Pack, eventually: Eventually
) -> None:
    device.start().ready()
    offer = fleet.release("r2", {TARGET: pack("m2")})
    with _outbox_locked(device):  # the switch waits for its window to be written
        fleet.say("cam-1", offer)
        eventually(lambda: journal_says(device, State.COMMITTING), "it commits")
        device.kill()
    device.start().ready()
    assert device.running()["release"] == "r2"
    eventually(lambda: fleet.reports("switched"), "it says so")


@contextmanager
def _outbox_locked(device: Any) -> Iterator[None]:
    other = sqlite3.connect(device.root / "state" / "outbox.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_broker_and_an_agent_killed_at_any_moment_lose_and_double_no_window(
    device: Any,
    fleet: Any,
    broker: Any,
    identity: Identity,
    npy: Npy,
    pixels: Pixels,
    eventually: Eventually,
    kills: int,
) -> None:
    """Kills under traffic. What is in the outbox when an agent dies must be stored in the end, and every boot is without a gap."""
    write_identity(device.root, msgspec.structs.replace(identity, window_s=0.03))
    dice = random.Random(14)
    written: set[tuple[str, int]] = set()
    for kill in range(kills):
        device.start().ready()
        until = time.monotonic() + 0.1 + 0.4 * dice.random()
        while time.monotonic() < until:
            device.post(npy(pixels(3)))
        if kill % 3 == 2:
            broker.kill()
            broker.start()
        device.kill()
        written |= _in_outbox(device)
    device.start().ready()

    def stored_now() -> set[tuple[str, int]]:
        return {(boot, sequence) for _, boot, sequence in fleet.received}

    # What a killed broker took with it is sent again only after a while without an answer.
    eventually(lambda: written <= stored_now(), "everything that was in an outbox is stored", 60)
    assert device.stop() == 0
    stored = stored_now()
    boots: dict[str, list[int]] = {}
    for boot, sequence in stored | _in_outbox(device):
        boots.setdefault(boot, []).append(sequence)
    assert len(boots) == kills + 1
    for sequences in boots.values():
        assert sorted(sequences) == list(range(1, len(sequences) + 1))


def _in_outbox(device: Any) -> set[tuple[str, int]]:
    database = sqlite3.connect(device.root / "state" / "outbox.db")
    try:
        return set(database.execute("SELECT boot, sequence FROM messages"))
    finally:
        database.close()


HOST = {
    "torch",
    "pydantic",
    "rich",
    "onnx",
    "pandas",
    "fastapi",
    "sqlalchemy",
    "edgeml_bench",
    "edgeml_compress",
    "PIL",
}


def imports(device: Any) -> set[str]:
    """What the agent imported in its whole life; it was started with PYTHONPROFILEIMPORTTIME."""
    of_the_agent = device.log().rpartition("| edgeml_agent\n")[2]  # before it, the command's own process
    lines = [line for line in of_the_agent.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[-1].strip() for line in lines}


def test_it_imports_nothing_of_the_host_from_start_to_update(
    device: Any,
    fleet: Any,
    pack: Pack,
    npy: Npy,
    pixels: Pixels,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    device.start().ready()
    device.post(npy(pixels(2)))
    fleet.say("cam-1", fleet.release("r2", {TARGET: pack("m2")}))
    eventually(lambda: device.running()["release"] == "r2", "the update")
    device.stop()
    found = imports(device)
    assert "edgeml_agent.update" in found
    assert "cryptography.hazmat.primitives.asymmetric.ed25519" in found
    assert {m.split(".")[0] for m in found} & (HOST | {"edgeml", "typer"}) == set()


def test_the_command_runs_the_same_agent_and_as_little_of_the_host(
    device: Any, fleet: Any, npy: Npy, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    device.command = ["-m", "edgeml", "agent", "run"]
    device.start().ready()
    assert device.post(npy(pixels(1)))[0] == 200
    assert device.stop() == 0
    assert {m.split(".")[0] for m in imports(device)} & HOST == set()
