"""Flashing into a folder of this machine, as the command line does it."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from edgeml.flash import flash_device
from edgeml.project import Project
from edgeml.server.broker import knows_token
from edgeml.server.store import Store
from edgeml.server.tables import CREDENTIALS
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import read_identity, write_identity
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
    assert edgeml_flash(served, f"dir:{folder}", "--target", TARGET).returncode == 0  # the same device again
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
        (("dir:cam", "--target", "x86_64-litert"), "add it to targets in edgeml.toml, then make one"),
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


def test_a_device_does_not_take_the_place_of_another_that_has_its_name(served: Project, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "camera", tmp_path / "b" / "camera"
    flash_device(served, f"dir:{first}", target=TARGET)
    identity = DeviceFolder(first).identity.read_bytes()
    said = edgeml_flash(served, f"dir:{second}", "--target", TARGET)
    assert said.returncode == 2
    assert (
        "camera: another device has this name; give another name with --device, or take its place with --replace"
        in (said.stderr)
    )
    assert not second.exists()
    assert DeviceFolder(first).identity.read_bytes() == identity
    assert lets_in(served, first)
    assert edgeml_flash(served, f"dir:{second}", "--target", TARGET, "--device", "camera-2").returncode == 0
    assert lets_in(served, first) and lets_in(served, second)
    third = tmp_path / "c" / "camera"
    assert edgeml_flash(served, f"dir:{third}", "--target", TARGET, "--replace").returncode == 0
    assert lets_in(served, third) and not lets_in(served, first)


def test_a_device_of_another_fleet_that_has_the_name_is_not_the_one_that_we_know(
    served: Project, tmp_path: Path
) -> None:
    ours, foreign = tmp_path / "a" / "scale", tmp_path / "b" / "scale"
    flash_device(served, f"dir:{ours}", target=TARGET)
    shutil.copytree(ours, foreign)
    identity = read_identity(foreign)
    write_identity(foreign, msgspec.structs.replace(identity, fleet_key="0" * 64, token="another fleet's"))
    with pytest.raises(EdgemlError, match="another device has this name"):
        flash_device(served, f"dir:{foreign}", target=TARGET)
    assert lets_in(served, ours)


def lets_in(project: Project, folder: Path) -> bool:
    """Say whether the server knows the token in a device's folder."""
    identity, store = read_identity(folder), Store.of(project)
    with store.reading() as connection:
        kept = connection.scalar(sa.select(CREDENTIALS.c.token_hash).where(CREDENTIALS.c.device == identity.device))
    store.close()
    return kept is not None and knows_token(identity.token, kept)
