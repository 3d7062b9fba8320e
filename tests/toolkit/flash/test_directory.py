"""Flashing into a folder of this machine, as the command line does it."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgeml.flash import flash_device
from edgeml.project import Project
from edgeml_agent.folder import DeviceFolder
from edgeml_targets.contract.errors import EdgemlError

TARGET = "x86_64-onnxruntime"


def edgeml_flash(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeml", "flash", *words, "--project", str(project.root), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_becomes_a_device_and_none_again(served: Project, tmp_path: Path) -> None:
    folder = tmp_path / "Cam 7"
    done = edgeml_flash(served, f"dir:{folder}", "--target", TARGET)
    said: dict[str, Any] = json.loads(done.stdout)
    assert (said["schema"], said["device"], said["release"]) == ("edgeml.flash/1", "cam-7", "r1")
    assert DeviceFolder(folder).identity.stat().st_mode & 0o777 == 0o600
    removed = json.loads(edgeml_flash(served, f"dir:{folder}", "--uninstall").stdout)
    assert removed == {"schema": "edgeml.flash-uninstall/1", "destination": f"dir:{folder}"}
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ssh://127.0.0.1:1", "--target", TARGET), "Connection refused; check address, key and network"),
        (("dir:", "--target", TARGET), "no destination; write dir:PATH"),
        (("elsewhere", "--target", TARGET), "no destination; write dir:PATH"),
        (("dir:cam", "--target", "x86_64-onnxruntim"), "did you mean x86_64-onnxruntime?"),
        (("dir:/nowhere/cam", "--uninstall"), "there is no device"),
    ],
)
def test_what_can_t_be_done_is_said_in_one_line(served: Project, words: tuple[str, ...], line: str) -> None:
    done = edgeml_flash(served, *words)
    assert (done.returncode, done.stdout) == (2, "")
    errors = [said for said in done.stderr.splitlines() if said.startswith("error: ")]
    assert len(errors) == 1 and line in errors[0]
    assert "Traceback" not in done.stderr


def test_something_else_and_a_running_agent_are_left_alone(served: Project, tmp_path: Path) -> None:
    other, cam = tmp_path / "other", tmp_path / "cam"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(EdgemlError, match="something else lies there"):
        flash_device(served, f"dir:{other}", target=TARGET)
    with pytest.raises(EdgemlError, match="something else lies there"):
        flash_device(served, f"dir:{other / 'thesis.txt'}", target=TARGET)
    flash_device(served, f"dir:{cam}", target=TARGET)
    (cam / "state").mkdir(exist_ok=True)
    with (cam / "state" / "lock").open("w") as lock:  # as a running agent holds it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(EdgemlError, match="its agent runs; stop it first"):
            flash_device(served, f"dir:{cam}", target=TARGET)
    with pytest.raises(EdgemlError, match="it is cam already"):
        flash_device(served, f"dir:{cam}", target=TARGET, device="cam-2")
    assert flash_device(served, f"dir:{cam}", target=TARGET).device == "cam"
