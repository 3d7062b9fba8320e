"""`edgeml demo --fast` as a user runs it: what it measured, and that it cleans up behind itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.system
MARK = uuid.uuid4().hex
PHASES = (
    "business_and_data_understanding data_preparation model_engineering model_evaluation deployment "
    "monitoring_and_maintenance"
).split()


def alive() -> list[str]:
    """Processes that carry this run's mark in their environment."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if MARK.encode() in environ.read_bytes():
                found.append((environ.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def heed_ctrl_c() -> None:
    """A job in a script's background is born deaf to Ctrl-C, and so would be its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def demo(folder: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgeml", "demo", "--fast", *more],
        preexec_fn=heed_ctrl_c,
        cwd=folder,
        env={**os.environ, "EDGEML_TEST": MARK},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.timeout(600)
def test_the_fast_demo_closes_the_loop(tmp_path: Path) -> None:
    process = demo(tmp_path, "--json")
    out, talk = process.communicate(timeout=580)
    assert process.returncode == 0, talk[-3000:]
    got = json.loads(out)
    accuracy = got["accuracy"]
    assert accuracy["clean"] >= 0.9
    assert accuracy["clean"] - accuracy["corrupted"] >= 0.1
    assert accuracy["recovered"] >= max(accuracy["challenger"] - 0.03, accuracy["corrupted"] + 0.05)
    assert got["answers"] >= 500
    assert got["quiet_windows"] >= 10
    assert got["quiet_alarms"] == 0
    assert got["alarm_at_s"] > got["corruption_at_s"]
    assert {a["release"] for a in got["agents"]} == {got["release_after"]} != {got["release_before"]}
    assert len({a["target"] for a in got["agents"]}) == 3
    assert [p["phase"] for p in got["phases"]] == PHASES
    assert {p["verdict"] for p in got["phases"]} == {"pass"}
    assert all(a["float_accuracy"] - a["accuracy"] <= 0.01 + 1e-9 for a in got["artifacts"])
    assert (tmp_path / got["report"]).stat().st_size > 1_000_000  # it carries its own plotly.js
    assert alive() == []
    verified = subprocess.run(
        [sys.executable, "-m", "edgeml", "lifecycle", "verify", "--project", "edgeml-demo", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(verified.stdout)["faults"] == []


@pytest.mark.timeout(300)
def test_ctrl_c_stops_everything_that_the_demo_started(tmp_path: Path) -> None:
    process = demo(tmp_path)
    ends = time.monotonic() + 240
    try:
        while not any("edgeml_agent" in command for command in alive()):
            assert process.poll() is None, process.communicate()[1][-2000:]
            assert time.monotonic() < ends, "no agent was started"
    finally:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert alive() == []
