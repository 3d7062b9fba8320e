"""Bundles with a real artifact, a real broker, and a small fleet server that keeps what devices say."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml_agent import messages
from edgeml_agent.identity import Identity, write_identity
from edgeml_agent.infer import Engine, load_engine
from edgeml_agent.outbox import Outbox
from edgeml_agent.serving import Serving
from edgeml_agent.slots import install
from edgeml_targets.contract import bundle as bundles
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import fit, probabilities
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

TARGET = "x86_64-onnxruntime"
PREPROCESSING = Preprocessing(kind="image", scale=1 / 64, mean=(2.0,), std=(1.0,))
LABELS = tuple(f"class {i}" for i in range(10))
LIMIT_S = 20.0
BIN_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def pixels(count: int, seed: int = 0) -> np.ndarray:
    """Images (count, 16, 16, 3), uint8, each with a colour of its own, so that answers differ."""
    rng = np.random.default_rng(seed)
    noisy = 128 + 30 * rng.standard_normal((count, 16, 16, 3)) + 60 * rng.standard_normal((count, 1, 1, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def eventually(holds: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Wait until something holds; fail when it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        threading.Event().wait(0.01)


@pytest.fixture(scope="session")
def pack(tiny_cnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that packs `tiny_cnn` into a bundle; `spoilt` gives it golden answers that it does not give."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tiny_cnn))
    ready = PREPROCESSING.stack(pixels(200))
    outputs = session.run(None, {"x": ready})[0]
    reference = fit(ready, probabilities(outputs), PREPROCESSING.smooth_axes)
    folder = tmp_path_factory.mktemp("bundles")

    def make(model: str = "m1", *, spoilt: bool = False, artifact: Path = tiny_cnn, target: str = TARGET) -> Path:
        golden = bundles.golden_bytes(bundles.Golden(ready[:16], -outputs[:16] if spoilt else outputs[:16]))
        manifest = bundles.Manifest(
            model=model,
            candidate="float32",
            dataset="d1",
            settings=Settings(target=target, runtime="onnxruntime"),
            preprocessing=PREPROCESSING,
            labels=LABELS,
            input=Tensor("x", "float32", (-1, 3, 16, 16)),
            output=Tensor("logits", "float32", (-1, 10)),
            artifact=bundles.member_of(artifact),
            golden=bundles.describe_bytes(bundles.GOLDEN, golden),
            reference=reference,
        )
        path = folder / f"{model}-{spoilt}-{target}-{artifact.stem}.bundle"
        bundles.write_bundle(path, manifest, artifact, golden)
        return path

    return make


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Broker:
    """A real broker with its messages on disk, mosquitto or nats-server; `kill` and `start` at will."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.process: subprocess.Popen | None = None
        folder.mkdir(exist_ok=True)

    def start(self) -> None:
        config = self.folder / f"{self.kind}.conf"
        config.write_text(getattr(self, f"_{self.kind}")())
        programs = {"mosquitto": "/usr/sbin/mosquitto", "nats": shutil.which("nats-server", path=BIN_PATH)}
        self.process = subprocess.Popen(
            [programs[self.kind], "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, f"{self.kind} is up")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _mosquitto(self) -> str:
        root = "user root\n" if os.getuid() == 0 else ""
        return (
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\nautosave_interval 1\n"
            f"persistence_location {self.folder}/\nmax_queued_messages 0\nlog_type none\n{root}"
        )

    def _nats(self) -> str:
        return (
            f'server_name: test\nlisten: "127.0.0.1:{free_port()}"\njetstream {{ store_dir: "{self.folder}" }}\n'
            f"mqtt {{ host: 127.0.0.1, port: {self.port} }}\n"
        )

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


@pytest.fixture
def broker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Broker]:
    """Mosquitto, or what a test's indirect parameter names."""
    kind = getattr(request, "param", "mosquitto")
    if kind == "mosquitto" and not Path("/usr/sbin/mosquitto").exists():
        pytest.skip("needs Debian's mosquitto: apt install mosquitto")
    running = Broker(kind, tmp_path / "broker")
    running.start()
    yield running
    running.kill()


class FleetServer:
    """A small working server: keeps what devices say, by id; names it as stored; signs releases and serves their files."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self.broker, self.folder = broker, folder
        self.key = Ed25519PrivateKey.generate()
        self.received: dict[tuple[str, str, int], messages.Up] = {}
        self.deliveries = 0
        self.answering = True
        self.forgets: Callable[[messages.Up], bool] = lambda _message: False
        self.client = None
        folder.mkdir(exist_ok=True)
        self._http = _files(folder)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.requests: list[str] = self._http.requests  # type: ignore[attr-defined]

    @property
    def fleet_key(self) -> str:
        return self.key.public_key().public_bytes_raw().hex()

    def connect(self) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "server", clean_session=False)
        self.client.on_connect = lambda client, *_: client.subscribe("edgeml/+/up", 1)
        self.client.on_message = self._on_message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", self.broker.port)
        self.client.loop_start()

    def disconnect(self) -> None:
        if self.client is not None:
            self.client.disconnect()
            self.client.loop_stop()
            self.client = None

    def close(self) -> None:
        self.disconnect()
        self._http.shutdown()
        self._http.server_close()

    def _on_message(self, client, _data, message) -> None:
        said = messages.decode_up(message.payload, topic=message.topic)
        self.deliveries += 1
        if self.forgets(said):
            return
        self.received[(said.device, said.boot, said.sequence)] = said
        if self.answering:
            self.say(said.device, messages.Stored(said.boot, (said.sequence,)))

    def say(self, device: str, message: messages.Down) -> None:
        self.client.publish(messages.down_topic(device), messages.encode(message), 1)

    def release(self, name: str, bundles_of: dict[str, Path], **wrong: object) -> messages.Offer:
        """Sign a release and lay it out; `wrong` spoils one thing: key, named, sha256, size_bytes, path, payload."""
        refs, in_ref = {}, {k: v for k, v in wrong.items() if k in ("sha256", "size_bytes", "path")}
        for target, path in bundles_of.items():
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            (self.folder / sha256).write_bytes(content)
            ref = messages.BundleRef(f"../bundles/{sha256}", len(content), sha256)
            refs[target] = msgspec.structs.replace(ref, **in_ref)
        payload = msgspec.json.encode(
            messages.Release(
                name=str(wrong.get("named", name)),
                created_at=time.time(),
                model="m",
                bundles=refs,
                ledger_head="0" * 64,
            )
        )
        payload = wrong.get("payload", payload)
        key = wrong.get("key", self.key)
        signed = messages.SignedRelease(payload, key.sign(payload))
        (self.folder / name).write_bytes(msgspec.msgpack.encode(signed))
        return messages.Offer(name, f"{self.url}/releases/{name}")

    def windows(self) -> list[messages.Window]:
        return [m for m in list(self.received.values()) if isinstance(m, messages.Window)]

    def reports(self, event: str) -> list[messages.Report]:
        return [m for m in list(self.received.values()) if isinstance(m, messages.Report) and m.event == event]


def _files(folder: Path) -> http.server.ThreadingHTTPServer:
    """Serve `/releases/NAME` and `/bundles/SHA` out of one folder to whoever shows a device's credentials."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.requests.append(self.path)
            if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"cam-1:secret").decode():
                return self.send_error(401)
            file = folder / self.path.rsplit("/", 1)[-1]
            if not file.is_file():
                return self.send_error(404)
            content = file.read_bytes()
            if self.server.hold is not None and "bundles" in self.path:
                self.server.hold.wait(LIMIT_S)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            cut = self.server.cut_after
            self.wfile.write(content if cut is None or "bundles" not in self.path else content[:cut])
            return None

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.requests, server.cut_after, server.hold = [], None, None
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


@pytest.fixture
def fleet(broker: Broker, tmp_path: Path) -> Iterator[FleetServer]:
    server = FleetServer(broker, tmp_path / "served")
    server.connect()
    yield server
    server.close()


@dataclass
class Device:
    """A device's folder and the real process that runs in it."""

    root: Path
    process: subprocess.Popen | None = None
    command: Sequence[str] = ("-m", "edgeml_agent", "run")

    def start(self) -> Device:
        log = (self.root / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *self.command, "--folder", str(self.root)], stderr=log, stdout=log
        )
        return self

    def ready(self) -> Device:
        def runs() -> bool:
            assert self.process is not None and self.process.poll() is None, self.log()
            with contextlib.suppress(OSError, ValueError):
                return bool(self.running()["pid"] == self.process.pid)
            return False

        eventually(runs, "the agent is ready")
        return self

    def running(self) -> dict:
        return dict(json.loads((self.root / "state" / "agent.json").read_text()))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def post(self, body: bytes) -> tuple[int, dict]:
        request = urllib.request.Request(self.running()["url"] + "/infer", body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def log(self) -> str:
        return (self.root / "log").read_text()


def camera(port: int, server_url: str, fleet_key: str, window_s: float) -> Identity:
    return Identity(
        device="cam-1",
        group="line-a",
        target=TARGET,
        broker_host="127.0.0.1",
        broker_port=port,
        token="secret",
        server_url=server_url,
        fleet_key=fleet_key,
        window_s=window_s,
    )


@pytest.fixture
def identity(fleet: FleetServer) -> Identity:
    return camera(fleet.broker.port, fleet.url, fleet.fleet_key, 0.3)


@pytest.fixture
def device(tmp_path: Path, identity: Identity, pack: Callable[..., Path]) -> Iterator[Device]:
    """A device with release r1, not started yet."""
    root = tmp_path / "device"
    write_identity(root, identity)
    install(root, pack(), release="r1", target=TARGET)
    made = Device(root)
    yield made
    made.kill()


_eventually = pytest.fixture(name="eventually")(lambda: eventually)
_npy = pytest.fixture(name="npy")(lambda: npy)
_pixels = pytest.fixture(name="pixels")(lambda: pixels)


@pytest.fixture
def draft() -> messages.Report:
    """A report without an id, as the outbox takes it."""
    return messages.Report(
        device="cam-1", boot="", sequence=0, at=1.0, release="r1", target=TARGET, event="started", detail="hello"
    )


@pytest.fixture
def engine(pack: Callable[..., Path], tmp_path: Path) -> Iterator[Engine]:
    """`tiny_cnn` as release r1, loaded."""
    loaded = load_engine("r1", bundles.open_bundle(pack(), tmp_path / "slot"))
    yield loaded
    loaded.close()


@pytest.fixture
def offline() -> Identity:
    """A device whose broker and server are not there."""
    port = free_port()
    return camera(port, f"http://127.0.0.1:{port}", "0" * 64, 60.0)


@pytest.fixture
def serving(engine: Engine, offline: Identity, tmp_path: Path) -> Iterator[Serving]:
    outbox = Outbox(tmp_path / "state" / "outbox.db")
    yield Serving(offline, engine, outbox)
    outbox.close()
