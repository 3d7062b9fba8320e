"""The agent as a process of its own, with a real broker and a server that keeps what it is told."""

from __future__ import annotations

import json
import urllib.request

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def npy():
    import io

    def encode(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    return encode


def pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)


def test_it_answers_a_sample_and_a_stack_and_says_so_in_windows(device, fleet, npy, eventually) -> None:
    device.start().ready()
    status, one = device.post(npy(pixels(1)[0]))
    assert status == 200
    assert one["release"] == "r1"
    assert set(one["answers"][0]) == {"label", "class", "confidence", "unknown", "distance", "latency_us"}
    status, many = device.post(npy(pixels(50)))
    assert status == 200
    assert len(many["answers"]) == 50
    assert many["answers"][0]["class"] == one["answers"][0]["class"]
    eventually(lambda: sum(w.answers for w in fleet.windows()) == 51, "all answers are in windows")
    assert device.stop() == 0, device.log()
    assert fleet.reports("started")
    eventually(lambda: fleet.reports("stopped"), "it said that it stopped")
    assert not (device.root / "state" / "agent.json").exists()


def test_health_names_the_release(device) -> None:
    device.start().ready()
    with urllib.request.urlopen(device.running()["url"] + "/health") as answer:
        health = json.loads(answer.read())
    assert (health["device"], health["release"], health["target"]) == ("cam-1", "r1", "x86_64-onnxruntime")
