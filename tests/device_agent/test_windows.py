"""Windows merge exactly, stay small, and lose no count when the disk refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeml_agent.messages import MOST_MESSAGE_BYTES, Report, Window, decode_up, encode
from edgeml_agent.outbox import Outbox
from edgeml_agent.serving import Serving
from edgeml_agent.windows import Counts, OpenWindow, Rows
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.reference import Reference, fit

FEATURES = 10  # what a window of 4 kB must hold


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(10), 300).astype(np.float32)
    return fit(rng.standard_normal((300, FEATURES)).astype(np.float32), shares, ())


def rows(count: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    return Rows(
        classes=rng.integers(0, 10, count),
        confidences=rng.random(count),
        distances=rng.exponential(3, count),
        features=rng.standard_normal((count, FEATURES)) * 2,
        latencies_us=rng.lognormal(5, 1, count),
    )


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 99)), max_size=6), cut=st.integers(0, 6))
def test_two_windows_merged_are_one_long_window(reference: Reference, parts: list[tuple[int, int]], cut: int) -> None:
    first, second, whole = OpenWindow(reference), OpenWindow(reference), OpenWindow(reference)
    for i, part in enumerate(parts):
        (first if i < cut else second).add(rows(*part))
        whole.add(rows(*part))
        whole.refuse()
        second.refuse()
    assert first.counts().merged(second.counts()) == whole.counts()


def test_every_answer_is_in_every_histogram_once(reference: Reference) -> None:
    window = OpenWindow(reference)
    for seed in range(30):  # more rows than are held back uncounted
        window.add(rows(20, seed))
    counts = window.counts()
    assert counts.answers == 600 == sum(counts.classes)
    histograms = [*counts.features.values(), counts.distance, counts.confidence, counts.latency_us]
    assert {h.total for h in histograms} == {600}
    everything = np.concatenate([rows(20, seed).distances for seed in range(30)])
    assert counts.unknown == (everything > reference.known.threshold).sum()


def test_a_window_of_10_features_takes_at_most_4_kb(reference: Reference) -> None:
    window = OpenWindow(reference)
    for seed in range(100):
        window.add(rows(2_000, seed))
    message = _window(window.counts())
    assert len(encode(message)) <= 4_096 < MOST_MESSAGE_BYTES
    assert decode_up(encode(message), topic="edgeml/line-b-07-left-camera/up") == message


def test_a_window_that_cannot_be_written_stays_open(
    serving: Serving, npy: Callable[..., bytes], pixels: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    serving.answer(npy(pixels(3)), where="x")
    locked = sqlite3.connect(tmp_path / "state" / "outbox.db")
    locked.execute("BEGIN IMMEDIATE")
    serving._outbox._database.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(EdgemlError):
        serving.close_window()
    locked.rollback()
    serving.answer(npy(pixels(2)), where="x")
    serving.refuse()
    serving.close_window()
    (window,) = [decode_up(w.payload, topic="edgeml/cam-1/up") for w in serving._outbox.after(0, most=10)]
    assert (window.answers, window.errors, window.sequence) == (5, 1, 1)
    assert window.latency_us.total == 5
    assert window.ended_at >= window.began_at


def test_a_clock_that_is_set_back_does_not_end_a_window_before_it_began(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = OpenWindow(reference)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert window.ended_at >= window.began_at > 0


def test_an_empty_window_is_a_sign_of_life(serving: Serving) -> None:
    serving.close_window()
    (window,) = [decode_up(w.payload, topic="edgeml/cam-1/up") for w in serving._outbox.after(0, most=10)]
    assert isinstance(window, Window)
    assert window.answers == 0
    assert np.isnan(window.latency_us.quantile(0.5))
    assert window.memory_bytes is None or window.memory_bytes > 1_000_000


@given(st.binary(max_size=300))
def test_what_is_no_message_is_an_error_and_nothing_else(content: bytes) -> None:
    try:
        decode_up(content, topic="edgeml/cam-1/up")
    except EdgemlError:
        return
    assert isinstance(msgspec.msgpack.decode(content), dict)


def test_a_device_cannot_speak_for_another(draft: Report) -> None:
    with pytest.raises(EdgemlError, match="speaks for cam-1"):
        decode_up(encode(msgspec.structs.replace(draft, boot="b")), topic="edgeml/cam-2/up")


def _window(counts: Counts) -> Window:
    return Window(
        device="line-b-07-left-camera",
        boot="0123456789abcdef",
        sequence=1_000_000,
        began_at=1.7e9,
        ended_at=1.7e9,
        release="r1000",
        target="raspberrypi5-onnxruntime",
        **{name: getattr(counts, name) for name in Counts.__dataclass_fields__},
    )


def test_outbox_gives_a_window_its_id(tmp_path: Path, reference: Reference) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    put = outbox.put(_window(Counts.empty(reference)))
    assert (put.boot, put.sequence) == (outbox.boot, 1)
