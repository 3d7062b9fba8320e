"""The outbox loses nothing, doubles nothing, and says what it had to drop."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeml_agent.messages import Report, Stored, Up, decode_up
from edgeml_agent.outbox import Outbox
from edgeml_targets.contract.errors import EdgemlError

TOPIC = "edgeml/cam-1/up"


def waiting(outbox: Outbox) -> list[Up]:
    return [decode_up(w.payload, topic=TOPIC) for w in outbox.after(0, most=1_000_000)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def test_messages_are_numbered_from_1_in_the_order_of_writing(file: Path, draft: Report) -> None:
    outbox = Outbox(file)
    put = [outbox.put(draft) for _ in range(3)]
    assert [(m.boot, m.sequence) for m in put] == [(outbox.boot, 1), (outbox.boot, 2), (outbox.boot, 3)]
    assert waiting(outbox) == put


def test_what_was_stored_is_forgotten_and_only_that(file: Path, draft: Report) -> None:
    outbox = Outbox(file)
    for _ in range(3):
        outbox.put(draft)
    outbox.forget(Stored("another-boot", (1, 2, 3)))
    outbox.forget(Stored(outbox.boot, (2, 2, 99)))
    assert [m.sequence for m in waiting(outbox)] == [1, 3]
    assert len(outbox) == 2


def test_a_number_is_not_given_again_when_its_message_is_gone(file: Path, draft: Report) -> None:
    outbox = Outbox(file)
    outbox.forget(Stored(outbox.boot, (outbox.put(draft).sequence,)))
    assert outbox.put(draft).sequence == 2


def test_after_a_start_the_old_messages_wait_and_new_ones_have_a_new_boot(file: Path, draft: Report) -> None:
    before = Outbox(file)
    old = before.put(draft)
    before.close()
    outbox = Outbox(file)
    new = outbox.put(draft)
    assert waiting(outbox) == [old, new]
    assert new.boot != old.boot
    outbox.forget(Stored(old.boot, (old.sequence,)))
    assert waiting(outbox) == [new]


def test_a_full_outbox_drops_the_oldest_and_reports_how_many(file: Path, draft: Report) -> None:
    size = len(msgspec.msgpack.encode(draft)) + 20
    outbox = Outbox(file, most_bytes=40 * size)
    held = 0
    for _ in range(200):
        put = outbox.put(draft)
        kept = waiting(outbox)
        assert sum(len(msgspec.msgpack.encode(m)) for m in kept) <= 40 * size
        if kept[-1].event == "dropped":
            gone = held + 2 - len(kept)  # the present one and the report came, these went
            assert kept[-1].detail.startswith(f"{gone} oldest messages were dropped")
            assert kept[-2] == put
        held = len(kept)
        assert len(outbox) == held
    assert kept[0].sequence > 100


def test_a_damaged_database_is_set_aside_whole_and_told(file: Path, draft: Report) -> None:
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    outbox = Outbox(file)
    assert outbox.damaged
    assert file.with_name("outbox.db.damaged").read_bytes() == b"no database at all" * 100
    assert outbox.put(draft).sequence == 1


def test_a_database_that_is_locked_is_not_taken_for_a_damaged_one(file: Path, draft: Report) -> None:
    Outbox(file).put(draft)
    with sqlite3.connect(file, timeout=0) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EdgemlError, match="locked"):
            Outbox(file, wait_s=0.1)
    assert not file.with_name("outbox.db.damaged").exists()


def test_a_write_that_fails_spends_no_number(file: Path, draft: Report) -> None:
    outbox = Outbox(file, wait_s=0.1)
    outbox.put(draft)
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(EdgemlError, match="the outbox refuses"):
        outbox.put(draft)
    other.rollback()
    assert outbox.put(draft).sequence == 2


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(st.just("put"), st.just("restart"), st.sets(st.integers(1, 12))), max_size=40))
def test_what_waits_is_what_was_put_and_not_stored(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    file = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox, expected = Outbox(file), []
    for step in steps:
        if step == "put":
            report = Report(device="cam-1", boot="", sequence=0, at=1.0, release="r1", target="t", event="e")
            expected.append(outbox.put(report))
        elif step == "restart":
            outbox.close()
            outbox = Outbox(file)
        else:
            outbox.forget(Stored(outbox.boot, tuple(step)))
            expected = [m for m in expected if m.boot != outbox.boot or m.sequence not in step]
        assert waiting(outbox) == expected
        assert len(outbox) == len(expected)
    outbox.close()


def test_kill_9_at_any_moment_leaves_every_number_once(file: Path) -> None:
    """Whatever a writer was told is written must be there after it is killed, and at most one more that it was not told of."""
    writer = textwrap.dedent("""
        import sys
        from pathlib import Path
        from edgeml_agent.messages import Report
        from edgeml_agent.outbox import Outbox
        outbox = Outbox(Path(sys.argv[1]))
        draft = Report(device="cam-1", boot="", sequence=0, at=1.0, release="r1", target="t", event="e")
        while True:
            print(outbox.put(draft).sequence, flush=True)
    """)
    told: dict[int, int] = {}
    for last in (1, 7, 40):
        process = subprocess.Popen([sys.executable, "-c", writer, str(file)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [int(process.stdout.readline()) for _ in range(last)]
        process.send_signal(signal.SIGKILL)
        lines += [int(line) for line in process.stdout.read().split()]
        process.wait()
        told[len(told)] = lines[-1]
    boots: dict[str, list[int]] = {}
    for message in waiting(Outbox(file)):
        boots.setdefault(message.boot, []).append(message.sequence)
    for sequences, last in zip(boots.values(), told.values(), strict=True):
        assert sequences == list(range(1, len(sequences) + 1))
        assert len(sequences) - last in (0, 1)
