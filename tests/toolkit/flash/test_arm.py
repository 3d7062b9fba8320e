"""The agent of an ARM device, its aarch64 wheels included, started under an emulator: it loads a bundle and answers.

Emulated time says nothing of a device's; answers do.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edgeml.flash import wheels
from edgeml.flash.wheels import Python, agent_library
from edgeml_agent import slots
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity, write_identity

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.timeout(600)]
EMULATOR, DEBOOTSTRAP = shutil.which("qemu-aarch64-static"), shutil.which("debootstrap", path="/usr/sbin:/usr/bin")
RUNS_EMULATED = "onnxruntime==1.24.4"  # 1.32 crashes under qemu-user 7.2; on a device it does not
TARGET = "x86_64-onnxruntime"


@pytest.fixture(scope="module")
def userland(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian 12 for arm64 with python3, unpacked and not configured."""
    if EMULATOR is None or DEBOOTSTRAP is None or os.getuid():
        pytest.skip("needs root, debootstrap and qemu-user-static: no ARM agent is tried here")
    root = tmp_path_factory.mktemp("arm64")
    include = "--include=python3,libstdc++6,libgomp1"
    command = [DEBOOTSTRAP, "--foreign", "--arch=arm64", "--variant=minbase", include, "bookworm", str(root)]
    if (made := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"debootstrap can't make a userland: {made.stdout[-300:]}")
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    return root


@pytest.fixture
def library(userland: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What flashing sends to a Raspberry Pi with Debian 12, with an onnxruntime that runs emulated."""
    own = wheels.requirements

    def pinned(extras: Any) -> list[str]:
        return [RUNS_EMULATED if name.startswith("onnxruntime") else name for name in own(extras)]

    monkeypatch.setattr(wheels, "requirements", pinned)
    (tmp_path / "packages").mkdir()
    pi = Python((3, 11), "aarch64", (2, 36))
    made = agent_library(pi, ["onnxruntime", "images"], kept=tmp_path / "kept", made=tmp_path / "packages")
    shutil.copytree(made.wheels, tmp_path / "lib")
    shutil.copytree(made.packages, tmp_path / "lib", dirs_exist_ok=True)
    return tmp_path / "lib"


@pytest.fixture
def agent(userland: Path, library: Path, tmp_path: Path, tiny_bundle: Path) -> Iterator[DeviceFolder]:
    """An emulated agent that answers; no server is there, which it can do without."""
    folder = tmp_path / "cam"
    slots.install(folder, tiny_bundle, release="r1", target=TARGET)
    identity = Identity(
        device="cam",
        group="default",
        target=TARGET,
        broker_host="127.0.0.1",
        broker_port=9,
        token="t",
        server_url="http://127.0.0.1:9",
        fleet_key="0" * 64,
    )
    write_identity(folder, identity)
    command = [str(EMULATOR), "-L", str(userland), str(userland / "usr/bin/python3.11"), "-m", "edgeml_agent", "run"]
    environment = {"PYTHONPATH": str(library), "PATH": "/usr/bin:/bin"}
    log = tmp_path / "agent.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "--folder", str(folder)], env=environment, stdout=out, stderr=out)
    device = DeviceFolder(folder)
    try:
        while not device.running.exists():
            assert process.poll() is None, log.read_text()[-3000:]
        yield device
    finally:
        process.terminate()
        process.wait(60)


def test_the_agent_of_an_arm_device_answers_as_the_host_does(agent: DeviceFolder, tiny_cnn: Path) -> None:
    import io

    import onnxruntime

    images = np.random.default_rng(3).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    body = io.BytesIO()
    np.save(body, images)
    url = msgspec.json.decode(agent.running.read_bytes())["url"]
    with urllib.request.urlopen(f"{url}/infer", data=body.getvalue(), timeout=120) as answer:
        answered = [found["class"] for found in json.load(answer)["answers"]]
    from edgeml_targets.contract.preprocess import Preprocessing

    ready = Preprocessing(kind="image", scale=1 / 64, mean=(2.0,), std=(1.0,)).stack(images)
    expected = onnxruntime.InferenceSession(str(tiny_cnn)).run(None, {"x": ready})[0].argmax(1)
    assert answered == expected.tolist()
