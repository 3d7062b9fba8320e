"""A small world: images drawn from one distribution, the reference fitted on them, and windows counted as an agent counts."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import paho.mqtt.client as mqtt
import pytest
import sqlalchemy as sa
from paho.mqtt.enums import CallbackAPIVersion

from edgeml.project import DataSection, Fleet, Project
from edgeml.server import releases
from edgeml.server.broker import Address
from edgeml.server.store import Store
from edgeml.server.tables import CREDENTIALS, DEVICES
from edgeml_agent.messages import Offer, Report, Stored, Up, Window, decode_down, down_topic, encode, up_topic
from edgeml_targets.contract import bundle as bundles
from edgeml_targets.contract import reference as references
from edgeml_targets.contract.histogram import count_frozen, frozen
from edgeml_targets.contract.latencies import latencies
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import Reference
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

CLASSES = 10
TARGET = "x86_64-onnxruntime"
DEVICE = "line-b-07"
LIMIT_S = 30.0
Floats = npt.NDArray[np.floating]


class World:
    """Draws inputs and answers; `shift` 0 is the world that the reference knows, above it the inputs have moved.

    A shift of 1 takes a third of the contrast, brightens by a twentieth and adds noise, as the demo's corruption does.
    """

    def __init__(self, seed: int = 0, samples: int = 500) -> None:
        self.rng = np.random.default_rng(seed)
        self._sequences = itertools.count(1)
        self.reference = self.fit(samples)

    def draw(self, count: int, shift: float = 0.0) -> tuple[Floats, Floats]:
        """Return images (count, 1, 8, 8) and the probabilities of ten classes."""
        smooth = self.rng.standard_normal((count, 1, 8, 8)).cumsum(2).cumsum(3) / 8
        images = smooth * self.rng.uniform(0.5, 1.5, (count, 1, 1, 1)) + self.rng.normal(0, 0.3, (count, 1, 1, 1))
        images = images * (1 - 0.3 * shift) + shift * (0.05 + 0.1 * self.rng.standard_normal(images.shape))
        scores = 2 * self.rng.standard_normal((count, CLASSES))
        scores[np.arange(count), self.rng.integers(0, CLASSES, count)] += 8
        return images, references.probabilities(scores)

    def fit(self, samples: int) -> Reference:
        """Return the reference of `samples` fresh draws."""
        images, probabilities = self.draw(samples)
        return references.fit(images, probabilities, (-2, -1))

    def window(self, answers: int = 120, shift: float = 0.0, **fields: Any) -> Window:
        """Return a window of fresh draws, as an agent counts it."""
        images, probabilities = self.draw(max(answers, 1), shift)
        rows = references.features(images, self.reference.smooth_axes)[:answers]
        probabilities = probabilities[:answers]
        distance = self.reference.known.distance(rows)
        counted = {
            name: count_frozen(frozen(kept), rows[:, i])
            for i, (name, kept) in enumerate(self.reference.features.items())
        }
        window = Window(
            device="line-b-07",
            boot="boot1",
            sequence=next(self._sequences),
            began_at=1000.0,
            ended_at=1001.0,
            release="r1",
            target=TARGET,
            answers=answers,
            unknown=int((distance > self.reference.known.threshold).sum()),
            errors=0,
            classes=tuple(int(c) for c in np.bincount(probabilities.argmax(1), minlength=CLASSES)),
            features=counted,
            distance=count_frozen(frozen(self.reference.distance), distance),
            confidence=count_frozen(frozen(self.reference.confidence), probabilities.max(1)),
            latency_us=latencies(self.rng.uniform(90, 110, answers)),
        )
        return msgspec.structs.replace(window, **fields)

    def report(self, event: str = "started", **fields: Any) -> Report:
        """Return a report."""
        report = Report(
            device="line-b-07",
            boot="boot1",
            sequence=next(self._sequences),
            at=1000.0,
            release="r1",
            target=TARGET,
            event=event,
        )
        return msgspec.structs.replace(report, **fields)

    def bundle(self, folder: Path, *, model: str = "m1", target: str = TARGET, made_at: float | None = None) -> Path:
        """Write a bundle with this world's reference; its artifact is of no account here."""
        artifact = folder / f"{model}-{target}.onnx"
        artifact.parent.mkdir(parents=True, exist_ok=True)
        artifact.write_bytes(f"artifact of {model} for {target}".encode())
        golden = bundles.golden_bytes(bundles.Golden(np.zeros((2, 1, 8, 8), "f4"), np.zeros((2, CLASSES), "f4")))
        manifest = bundles.Manifest(
            model=model,
            candidate="int8",
            dataset="d1",
            settings=Settings(target=target, runtime="onnxruntime"),
            preprocessing=Preprocessing(),
            labels=tuple(str(i) for i in range(CLASSES)),
            input=Tensor("x", "float32", (-1, 1, 8, 8)),
            output=Tensor("y", "float32", (-1, CLASSES)),
            artifact=bundles.member_of(artifact),
            golden=bundles.describe_bytes(bundles.GOLDEN, golden),
            reference=self.reference,
            made_at=made_at,
        )
        file = folder / f"{model}-{target}.bundle"
        bundles.write_bundle(file, manifest, artifact, golden)
        return file


class Device:
    """A small agent: it sends what waits until the server names it as stored."""

    def __init__(self, address: Address, token: str | None) -> None:
        self.waiting: dict[int, Up] = {}
        self.offers: list[Offer] = []
        self.changed = threading.Condition()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=DEVICE, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        if token:
            self.client.username_pw_set(DEVICE, token)
        self.client.on_connect = self._connected
        self.client.on_message = self._told
        self.client.connect_async(address.host, address.port)
        self.client.loop_start()

    def send(self, *messages: Up) -> None:
        with self.changed:
            self.waiting.update({m.sequence: m for m in messages})
        for message in messages:
            self.client.publish(up_topic(DEVICE), encode(message), 1)

    def drained(self) -> bool:
        """Wait until nothing waits; say again, every now and then, what does."""
        limit = time.monotonic() + LIMIT_S
        with self.changed:
            while self.waiting and time.monotonic() < limit:
                if not self.changed.wait(2.0):
                    for message in self.waiting.values():
                        self.client.publish(up_topic(DEVICE), encode(message), 1)
            return not self.waiting

    def offered(self) -> str | None:
        with self.changed:
            self.changed.wait_for(lambda: bool(self.offers), LIMIT_S)
            return self.offers[-1].release if self.offers else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(down_topic(DEVICE), 1)

    def _told(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        told = decode_down(bytes(message.payload), topic=message.topic)
        with self.changed:
            if isinstance(told, Stored):
                for sequence in told.sequences:
                    self.waiting.pop(sequence, None)
            else:
                self.offers.append(told)
            self.changed.notify_all()


@pytest.fixture
def world() -> World:
    """Return the world of seed 0."""
    return World()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project with short windows, in a folder of its own."""
    fleet = Fleet(window_s=1.0, drift_samples=100, canary_answers=200, retrain_labels=200)
    return Project(
        root=tmp_path / "project",
        name="demo",
        scope="tests",
        targets=(TARGET,),
        data=DataSection(source="digits.npz"),
        fleet=fleet,
    )


@pytest.fixture
def store(project: Project) -> Iterator[Store]:
    """Return the project's store, empty."""
    opened = Store.of(project)
    yield opened
    opened.close()


@pytest.fixture
def enrolled(project: Project, store: Store) -> Any:
    """Return a function that puts devices into the store as `enrol` does, without a server."""
    releases.public_key(project, store)  # which a device is told

    def put(*devices: str, target: str = TARGET, token_hash: str = "", **fields: Any) -> None:
        with store.writing() as connection:
            for device in devices:
                row = {"device": device, "group": "line-b", "target": target, "enrolled_at": 0.0, "state": "never_seen"}
                connection.execute(sa.insert(DEVICES).values(row | fields))
                if token_hash:
                    credentials = {"device": device, "token_hash": token_hash, "changed_at": 0.0}
                    connection.execute(sa.insert(CREDENTIALS).values(credentials))

    return put


@pytest.fixture
def connect_device() -> Iterator[Callable[..., Device]]:
    """Return a function that connects a small agent to a broker."""
    made: list[Device] = []

    def connect(address: Address, token: str | None = "secret") -> Device:
        made.append(Device(address, token))
        return made[-1]

    yield connect
    for device in made:
        device.close()
