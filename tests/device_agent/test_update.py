"""An update ends with the release that was offered, or with the one that served and a report that says why."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeml_agent import slots, startup
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity
from edgeml_agent.messages import Offer, Report, decode_up
from edgeml_agent.outbox import Outbox
from edgeml_agent.serving import Serving
from edgeml_agent.slots import State, install, read_journal
from edgeml_agent.update import Updater
from edgeml_targets.contract import files
from edgeml_targets.contract.errors import EdgemlError

TARGET = "x86_64-onnxruntime"
Pack = Callable[..., Path]


class Cut(BaseException):
    """The power went."""


class Parts:
    """The parts of an agent that an update concerns, in this process, as a start leaves them."""

    def __init__(self, root: Path, identity: Identity) -> None:
        self.folder = DeviceFolder(root)
        self.outbox = Outbox(self.folder.outbox)
        engine, self.notes = startup.start(self.folder)
        self.serving = Serving(identity, engine, self.outbox)
        self.announced: list[str] = []
        self.updater = Updater(self.folder, identity, self.serving, lambda: self.announced.append(self.serving.release))

    def take_up(self, offer: Offer) -> None:
        """Bring one offer to its end in this thread."""
        self.updater._take_up(offer)

    def reports(self) -> list[Report]:
        return [decode_up(w.payload, topic="edgeml/cam-1/up") for w in self.outbox.after(0, most=1000)]

    def close(self) -> None:
        self.serving.close()
        self.outbox.close()


@pytest.fixture
def root(tmp_path: Path, pack: Pack) -> Path:
    install(tmp_path / "device", pack(), release="r1", target=TARGET)
    return tmp_path / "device"


@pytest.fixture
def parts(root: Path, identity: Identity) -> Iterator[Parts]:
    made = Parts(root, identity)
    yield made
    made.close()


def test_an_offer_is_fetched_tried_and_serves(parts: Parts, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}))
    assert parts.serving.release == "r2"
    assert parts.announced == ["r2"]
    journal = read_journal(parts.folder.journal)
    assert (journal.state, journal.active, journal.release, journal.previous) == (State.IDLE, "b", "r2", "r1")
    *_, window, switched = parts.reports()
    assert window.release == "r1"  # what r1 answered is not mixed with what r2 will
    assert (switched.event, switched.release) == ("switched", "r2")
    assert "16 of 16" in switched.detail
    assert not parts.folder.download.exists()


def test_the_release_that_serves_is_not_fetched_again(parts: Parts, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r1", {TARGET: pack()}))
    assert fleet.requests == []
    assert parts.reports() == []


def test_going_back_is_an_update_like_any_other(parts: Parts, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}))
    parts.take_up(fleet.release("r1", {TARGET: pack()}))
    assert parts.serving.release == "r1"


def _other_key() -> object:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key": _other_key()}, "signature is not the fleet's"),
        ({"named": "r9"}, "it is r9, offered was r2"),
        ({"payload": b"{}"}, "no release"),
        ({"sha256": "0" * 64}, "not the file that was signed"),
        ({"size_bytes": 1_000}, "not the file that was signed"),
        ({"path": "http://127.0.0.2/x"}, "leads away from the device's server"),
        ({"path": "file:///etc/passwd"}, "leads away from the device's server"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_refused_and_reported(
    parts: Parts, fleet: Any, pack: Pack, wrong: dict[str, object], said: str
) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}, **wrong))
    expect_still_r1(parts, "refused", said)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size_bytes": 1 << 60}, "bytes are free"),
        ({"path": "../bundles/none"}, "the server answers 404"),
    ],
    ids=["no space", "no file"],
)
def test_what_may_work_later_is_postponed_and_the_release_is_not_to_blame(
    parts: Parts, fleet: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, object], said: str
) -> None:
    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 0.01)
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}, **wrong))
    expect_still_r1(parts, "postponed", said)
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}))  # offered again, it can be had
    assert parts.serving.release == "r2"


@pytest.mark.parametrize("step", ["edgeml_agent.fetch.replacing", "edgeml_agent.slots.open_bundle"])
def test_a_disk_that_fills_up_on_the_way_postpones_the_release(
    parts: Parts, fleet: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 0.01)
    offer = fleet.release("r2", {TARGET: pack("m2")})
    with monkeypatch.context() as patched:
        patched.setattr(step, _full)
        parts.take_up(offer)
    expect_still_r1(parts, "postponed", "No space left on device")
    parts.take_up(offer)
    assert parts.serving.release == "r2"


def _full(*_: object) -> Any:
    with files.told(Path("download.bundle")):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_release_without_a_bundle_for_this_target_is_refused(parts: Parts, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r2", {"x86_64-litert": pack("m2")}))
    expect_still_r1(parts, "refused", "no bundle for x86_64-onnxruntime, only for x86_64-litert")


def test_a_bundle_made_for_another_target_is_refused(parts: Parts, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2", target="raspberrypi5-onnxruntime")}))
    expect_still_r1(parts, "refused", "made for raspberrypi5-onnxruntime")


def test_a_signed_file_that_is_no_bundle_is_refused(parts: Parts, fleet: Any) -> None:
    parts.take_up(fleet.release("r2", {TARGET: Path(__file__)}))
    expect_still_r1(parts, "refused", "no bundle")


@pytest.mark.parametrize("content", [b"", b"\xc1", b"<html>no</html>", b"\x80" * 5, b"0" * (2 << 20)])
def test_what_is_no_signed_release_is_refused(parts: Parts, fleet: Any, content: bytes) -> None:
    (fleet.folder / "r2").write_bytes(content)
    parts.take_up(Offer("r2", f"{fleet.url}/releases/r2"))
    expect_still_r1(parts, "refused", "r2: ")


def test_the_credentials_are_shown_to_no_other_server(parts: Parts) -> None:
    parts.take_up(Offer("r2", "http://example.invalid/releases/r2"))
    expect_still_r1(parts, "refused", "leads away from the device's server")


def test_an_address_may_be_relative_to_the_server(parts: Parts, fleet: Any, pack: Pack) -> None:
    fleet.release("r2", {TARGET: pack("m2")})
    parts.take_up(Offer("r2", "/releases/r2"))
    assert parts.serving.release == "r2"


def test_a_bundle_that_fails_its_self_test_is_rolled_back_and_not_tried_again(
    parts: Parts, fleet: Any, pack: Pack
) -> None:
    offer = fleet.release("r2", {TARGET: pack("m2", spoilt=True)})
    parts.take_up(offer)
    expect_still_r1(parts, "rolled_back", "self-test 0 of 16")
    asked = len(fleet.requests)
    parts.take_up(offer)
    assert len(fleet.requests) == asked
    assert parts.reports()[-1].event == "rolled_back"


def test_a_bundle_that_kills_its_runtime_does_not_kill_the_agent(
    parts: Parts, fleet: Any, pack: Pack, tmp_path: Path
) -> None:
    broken = tmp_path / "tiny_cnn.onnx"
    broken.write_bytes(b"\x08\x08 no graph")
    parts.take_up(fleet.release("r2", {TARGET: pack("m3", artifact=broken)}))
    expect_still_r1(parts, "rolled_back", "self-test ended with 2")


def test_a_file_that_is_cut_off_is_fetched_again(
    parts: Parts, fleet: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 0.1)
    fleet._http.cut_after = 2_000
    thread = threading.Thread(target=parts.updater.run)
    thread.start()
    parts.updater.offer(fleet.release("r2", {TARGET: pack("m2")}))
    eventually(lambda: sum("bundles" in r for r in fleet.requests) >= 2, "it was tried again")
    assert parts.serving.release == "r1"
    fleet._http.cut_after = None
    eventually(lambda: parts.serving.release == "r2", "it serves")
    parts.updater.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_an_offer_that_is_said_again_is_tried_again_at_once(
    parts: Parts, fleet: Any, pack: Pack, eventually: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 100.0)
    fleet._http.cut_after = 2_000
    offer = fleet.release("r2", {TARGET: pack("m2")})
    thread = threading.Thread(target=parts.updater.run)
    thread.start()
    parts.updater.offer(offer)
    eventually(lambda: parts.updater._present is None and fleet.requests, "it waits for its next attempt")
    assert parts.serving.release == "r1"
    fleet._http.cut_after = None
    parts.updater.offer(offer)
    eventually(lambda: parts.serving.release == "r2", "it serves long before the wait is over")
    assert sum("bundles" in r for r in fleet.requests) == 2  # the one that was cut off, and the one at once
    parts.updater.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_refused_offer_does_not_cost_the_way_back(parts: Parts, root: Path, fleet: Any, pack: Pack) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}))
    parts.take_up(fleet.release("r3", {TARGET: pack("m3")}, key=_other_key()))
    journal = read_journal(parts.folder.journal)
    assert (journal.release, journal.previous) == ("r2", "r1")
    next((root / "slots" / "b").glob("*.onnx")).write_bytes(b"rot")
    engine, _ = startup.start(parts.folder)
    assert engine.release == "r1"
    engine.close()


def test_what_a_kill_left_of_a_download_is_removed(root: Path) -> None:
    for name in ("download.bundle", ".download.bundle.x1", ".journal.json.x2"):
        (root / "state" / name).write_bytes(b"half")
    engine, _ = startup.start(DeviceFolder(root))
    assert sorted(p.name for p in (root / "state").iterdir()) == ["journal.json"]
    engine.close()


def test_without_memory_for_a_trial_the_release_is_not_to_blame(
    parts: Parts, fleet: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 0.01)
    offer = fleet.release("r2", {TARGET: pack("m2")})
    with monkeypatch.context() as patched:
        patched.setattr("edgeml_agent.update.subprocess.Popen", no_memory)
        parts.take_up(offer)
    expect_still_r1(parts, "postponed", "cannot be tried")
    parts.take_up(offer)
    assert parts.serving.release == "r2"


def test_a_server_that_is_away_is_reported_in_the_end(
    parts: Parts, fleet: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeml_agent.update.FIRST_WAIT_S", 0.01)
    offer = fleet.release("r2", {TARGET: pack("m2")})
    fleet._http.shutdown()
    fleet._http.server_close()
    parts.take_up(offer)
    expect_still_r1(parts, "postponed", "in 8 attempts")


def test_an_offer_that_is_said_again_while_it_is_under_way_is_taken_up_once(
    parts: Parts, fleet: Any, pack: Pack, eventually: Callable[..., None]
) -> None:
    offer = fleet.release("r2", {TARGET: pack("m2", spoilt=True)})
    fleet._http.hold = threading.Event()
    thread = threading.Thread(target=parts.updater.run)
    thread.start()
    parts.updater.offer(offer)
    eventually(lambda: any("bundles" in r for r in fleet.requests), "it fetches")
    parts.updater.offer(offer)
    fleet._http.hold.set()
    eventually(lambda: parts.reports(), "it is reported")
    parts.updater.offer(fleet.release("r3", {TARGET: pack("m3")}))
    eventually(lambda: parts.serving.release == "r3", "the next one serves")
    parts.updater.stop()
    thread.join(10)
    assert [r.event for r in parts.reports() if isinstance(r, Report) and r.offered == "r2"] == ["rolled_back"]


def test_a_release_is_replaced_by_a_later_offer_while_it_waits(
    parts: Parts, fleet: Any, pack: Pack, eventually: Callable[..., None]
) -> None:
    r2, r3 = (fleet.release(n, {TARGET: pack("m" + n)}) for n in ("r2", "r3"))
    parts.updater.offer(r2)
    parts.updater.offer(r3)
    thread = threading.Thread(target=parts.updater.run)
    thread.start()
    eventually(lambda: parts.serving.release == "r3", "the later one serves")
    parts.updater.stop()
    thread.join(10)
    assert parts.announced == ["r3"]


@pytest.mark.parametrize("step", range(8))
def test_a_power_cut_at_any_durable_step_recovers(
    root: Path,
    identity: Identity,
    fleet: Any,
    pack: Pack,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    """Cut before each thing that lasts: journal, slot, outbox. A start then serves, and the offer leads to r2."""
    offer = fleet.release("r2", {TARGET: pack("m2")})
    parts = Parts(root, identity)
    with monkeypatch.context() as patched:
        _cut_before(patched, step)
        try:
            parts.take_up(offer)
            was_cut = False
        except Cut:
            was_cut = True
    parts.outbox.close()
    assert was_cut == (step < 7), "durable: fetched, unpacked, verified, healthy, window, committed, report"

    again = Parts(root, identity)
    assert read_journal(again.folder.journal).state is State.IDLE
    assert again.serving.release in ("r1", "r2")
    again.take_up(offer)
    assert again.serving.release == "r2"
    again.close()
    last = Parts(root, identity)
    assert (last.serving.release, last.notes) == ("r2", [])
    last.close()


def _cut_before(patched: pytest.MonkeyPatch, step: int) -> None:
    count = iter(range(1_000))

    def cutting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(count) == step:
                raise Cut
            return original(*args, **kwargs)

        return call

    patched.setattr(slots, "write_atomic", cutting(files.write_atomic))
    patched.setattr(slots, "open_bundle", cutting(slots.open_bundle))
    patched.setattr(Outbox, "put", cutting(Outbox.put))


def test_a_slot_that_was_damaged_falls_back_to_the_one_before(
    parts: Parts, root: Path, identity: Identity, fleet: Any, pack: Pack
) -> None:
    parts.take_up(fleet.release("r2", {TARGET: pack("m2")}))
    next((root / "slots" / "b").glob("*.onnx")).write_bytes(b"rot")
    engine, notes = startup.start(parts.folder)
    assert engine.release == "r1"
    assert [n.event for n in notes] == ["rolled_back"]
    assert "r2" in read_journal(parts.folder.journal).rejected
    engine.close()


def test_without_any_good_slot_it_says_so(root: Path) -> None:
    next((root / "slots" / "a").glob("*.onnx")).write_bytes(b"rot")
    with pytest.raises(EdgemlError, match="flash the device again"):
        startup.start(DeviceFolder(root))


def expect_still_r1(parts: Parts, event: str, said: str) -> None:
    assert parts.serving.release == "r1"
    journal = read_journal(parts.folder.journal)
    assert (journal.state, journal.release, journal.offered) == (State.IDLE, "r1", "")
    report = parts.reports()[-1]
    assert (report.event, report.release, report.offered) == (event, "r1", "r2")
    assert said in report.detail
    assert not parts.folder.download.exists()
