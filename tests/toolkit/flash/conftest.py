"""A real server with a signed release, and "devices": a real sshd on loopback, with a PATH, a key and a folder of its own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edgeml import flash
from edgeml.flash.wheels import Library
from edgeml.project import Project, load_project
from edgeml.server import releases
from edgeml.server.broker import free_port
from edgeml.server.running import find_running
from edgeml.server.store import Store
from edgeml_targets.contract import bundle as bundles
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import fit, probabilities
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

TARGET = "x86_64-onnxruntime"
LIMIT_S = 60.0
PROJECT = f"""
name = "flashed"
scope = "tests"
targets = ["{TARGET}"]
[data]
source = "digits.npz"
[fleet]
window_s = 0.3
"""
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
SSH = shutil.which("ssh")
CI = os.environ.get("CI") == "true"
# A small working systemctl: it starts what the unit says, and stops it; its process number lies beside the unit.
SYSTEMCTL = """#!/bin/sh
unit=/etc/systemd/system/edgeml-agent.service
pid=/etc/systemd/system/pid
case "$1" in
enable) : > /etc/systemd/system/enabled ;;
disable) rm -f /etc/systemd/system/enabled ;;
start) setsid $(sed -n 's/^ExecStart=//p' $unit) > /etc/systemd/system/log 2>&1 < /dev/null & echo $! > $pid ;;
stop) test -e $pid || exit 0; kill $(cat $pid) || true; while kill -0 $(cat $pid) 2> /dev/null; do sleep 0.05; done; rm $pid ;;
esac
"""
JOURNALCTL = "#!/bin/sh\ntail -n 1 /etc/systemd/system/log\n"


def missing(what: str) -> None:
    """Skip aloud; in CI what is missing is a fault."""
    (pytest.fail if CI else pytest.skip)(f"{what}: flashing over ssh is not tried here")


def eventually(ready: Callable[[], object], what: str) -> None:
    ends = time.monotonic() + LIMIT_S
    while not ready():
        assert time.monotonic() < ends, f"{what} did not come within {LIMIT_S:g} s"
        threading.Event().wait(0.05)


@dataclass
class Device:
    """A machine that ssh reaches: an sshd of its own; `bin` comes first in its PATH, `folder` is where it is flashed."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def folder(self) -> Path:
        return self.root / "device"

    @property
    def log(self) -> str:
        return (self.root / "sshd.log").read_text()

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{self.folder}"

    @property
    def options(self) -> tuple[str, ...]:
        known = f"UserKnownHostsFile={self.root / 'known_hosts'}"
        return (f"IdentityFile={self.root / 'key'}", "IdentitiesOnly=yes", "IdentityAgent=none", known)

    def program(self, name: str, text: str) -> None:
        """Put a program into the device's PATH, before all others."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def only(self, *programs: str) -> None:
        """Leave the device these programs and no others."""
        for name in programs:
            (self.bin / name).symlink_to(shutil.which(name) or "/missing")
        self._restart(path=str(self.bin))

    def start(self, *, path: str, systemd: bool = False) -> None:
        config = self.root / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.root}/host_key\nPidFile {self.root}/sshd.pid\n"
            f"AuthorizedKeysFile {self.root}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel DEBUG1\nSetEnv PATH={path} HOME={self.root}\n"
        )
        command = [str(SSHD), "-D", "-f", str(config), "-E", str(self.root / "sshd.log")]
        if systemd:
            mounts = (
                "mount -t tmpfs t /run/systemd && mkdir /run/systemd/system && mount -t tmpfs t /etc/systemd/system"
            )
            command = ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        eventually(self._answers, "sshd")

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(10)

    def run_agent(self) -> subprocess.Popen[bytes]:
        """Start the agent as somebody at the device would: with the device's PATH, nothing of our environment."""
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.root)}
        with (self.root / "agent.log").open("ab") as log:
            agent = subprocess.Popen([str(self.folder / "agent")], env=environment, stdout=log, stderr=log)
        self.agents.append(agent)
        return agent

    def _restart(self, *, path: str) -> None:
        self.stop()
        self.start(path=path)

    def _answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _keygen(file: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)


def _prepared(root: Path) -> Device:
    if SSHD is None:
        missing("sshd is missing (apt install openssh-server)")
    if SSH is None:
        missing("ssh is missing (apt install openssh-client)")
    if pwd.getpwuid(os.getuid()).pw_shell.endswith("nologin"):
        missing("this user may not log in")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's empty folder, which its service makes
    device = Device(root, free_port("127.0.0.1", 0))
    device.bin.mkdir(parents=True)
    for name in ("host_key", "key", "other_key"):
        _keygen(root / name)
    (root / "authorized_keys").write_bytes((root / "key.pub").read_bytes())
    host_key = (root / "host_key.pub").read_text()
    (root / "known_hosts").write_text(f"[127.0.0.1]:{device.port} {host_key}")
    return device


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device without systemd, whose python3 is this system's own: no package of ours is there."""
    made = _prepared(tmp_path / "device")
    made.start(path=f"{made.bin}:/usr/bin:/bin")
    yield made
    for agent in made.agents:
        agent.terminate()
        agent.wait(20)
    made.stop()


@pytest.fixture
def device_with_systemd(tmp_path: Path) -> Iterator[Device]:
    """A device where a small working systemctl starts units; its sshd runs in a mount namespace of its own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        missing("no private mount namespace can be had")
    made = _prepared(tmp_path / "device")
    made.program("systemctl", SYSTEMCTL)
    made.program("journalctl", JOURNALCTL)
    made.start(path=f"{made.bin}:/usr/bin:/bin", systemd=True)
    yield made
    made.stop()


@pytest.fixture
def small_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Send a library of one file, where a test starts no agent: it takes a second instead of ten."""
    for part in ("wheels", "packages"):
        (tmp_path / "library" / part).mkdir(parents=True)
    (tmp_path / "library" / "packages" / "some.py").write_text("")
    made = Library(tmp_path / "library" / "wheels", tmp_path / "library" / "packages", "mark-1")
    monkeypatch.setattr(flash, "agent_library", lambda *_, **__: made)
    return made


@pytest.fixture(scope="session")
def tiny_bundle(tiny_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `tiny_cnn` for `TARGET`."""
    return _bundle(tiny_cnn, tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def served(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with a signed release of `tiny_cnn`, and its server as a process."""
    root = tmp_path_factory.mktemp("flashed")
    (root / "edgeml.toml").write_text(PROJECT)
    project = load_project(root)
    store = Store.of(project)
    releases.publish(project, "m1", {TARGET: tiny_bundle}, releases.Grounds("0" * 64, None), store=store)
    store.close()
    command = [sys.executable, "-m", "edgeml", "serve", "--project", str(root), "--port", "0"]
    with (root / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: find_running(project) or server.poll() is not None, "the server")
        assert server.poll() is None, (root / "serve.log").read_text()
        yield project
    finally:
        server.terminate()
        server.wait(20)


def _bundle(artifact: Path, folder: Path) -> Path:
    import onnxruntime

    preprocessing = Preprocessing(kind="image", scale=1 / 64, mean=(2.0,), std=(1.0,))
    rng = np.random.default_rng(0)
    ready = preprocessing.stack(rng.integers(0, 256, (200, 16, 16, 3), dtype=np.uint8))
    outputs = onnxruntime.InferenceSession(str(artifact)).run(None, {"x": ready})[0]
    golden = bundles.golden_bytes(bundles.Golden(ready[:16], outputs[:16]))
    manifest = bundles.Manifest(
        model="m1",
        candidate="float32",
        dataset="d1",
        settings=Settings(target=TARGET, runtime="onnxruntime"),
        preprocessing=preprocessing,
        labels=tuple(f"class {i}" for i in range(10)),
        input=Tensor("x", "float32", (-1, 3, 16, 16)),
        output=Tensor("logits", "float32", (-1, 10)),
        artifact=bundles.member_of(artifact),
        golden=bundles.describe_bytes(bundles.GOLDEN, golden),
        reference=fit(ready, probabilities(outputs), preprocessing.smooth_axes),
    )
    file = folder / "m1.bundle"
    bundles.write_bundle(file, manifest, artifact, golden)
    return file
