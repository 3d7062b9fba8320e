"""The ledger finds any change or cut, survives a power cut, and takes appends from many processes."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeml import ledger
from edgeml.gates import Phase, Verdict
from edgeml_targets.contract.errors import EdgemlError


def a_record(gate: str = "no_drift") -> ledger.Record:
    return ledger.Record(
        number=0,
        at=1.0,
        by="test",
        phase=Phase.MONITORING,
        gate=gate,
        requirement="r",
        risk="k",
        check="c",
        subject="s",
        threshold="t",
        value="v",
        reason="w",
        verdict=Verdict.PASS,
        evidence="",
        previous="",
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lifecycle" / "ledger.jsonl"
    for i in range(5):
        ledger.append(path, b'{"i": %d}' % i, a_record(f"gate_{i}"))
    return path


def test_what_was_appended_is_read_in_order_and_verifies(path: Path) -> None:
    records = list(ledger.read(path))
    assert [r.number for r in records] == [1, 2, 3, 4, 5]
    assert records[0].previous == ledger.START
    assert ledger.verify(path, {"r1": ledger.head(path)}) == []


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_is_found(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 2))
    changed = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))
    try:
        path.write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
        assert ledger.verify(path, {})
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_a_cut_record_is_found_wherever_it_stood(path: Path, cut: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:cut] + lines[cut + 1 :]))
    assert ledger.verify(path, {})


def test_a_cut_that_also_forges_the_head_is_found_by_a_signed_release(path: Path) -> None:
    signed = ledger.head(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    path.with_suffix(".head").unlink()
    assert ledger.verify(path, {})[0].what == "the head beside it is missing"
    assert any("r1" in fault.what for fault in ledger.verify(path, {"r1": signed}))


def test_a_release_whose_file_is_missing_is_a_fault(path: Path) -> None:
    assert "r2" in ledger.verify(path, {"r1": ledger.head(path), "r2": None})[0].what


def test_a_record_longer_than_what_is_read_at_once_can_be_followed(path: Path) -> None:
    long = msgspec.structs.replace(a_record("long"), reason="x" * 3 * ledger.TAIL_BYTES)
    ledger.append(path, b"{}", long)
    ledger.append(path, b"{}", a_record("next"))
    assert ledger.verify(path, {}) == []
    assert [r.gate for r in ledger.read(path)][-2:] == ["long", "next"]


def test_changed_or_missing_evidence_is_found(path: Path) -> None:
    evidence = path.parent / "evidence" / f"{next(iter(ledger.read(path))).evidence}.json"
    evidence.write_bytes(b'{"i": 9}')
    assert "changed" in ledger.verify(path, {})[0].what
    evidence.unlink()
    assert "missing" in ledger.verify(path, {})[0].what


def test_a_half_written_line_is_dropped_by_the_next_append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"hash": "half')
    assert len(list(ledger.read(path))) == 5
    ledger.append(path, b"{}", a_record("next"))
    assert [r.gate for r in ledger.read(path)][-1] == "next"
    assert ledger.verify(path, {}) == []


def test_a_power_cut_between_line_and_head_is_healed(path: Path) -> None:
    head = path.with_suffix(".head").read_bytes()
    ledger.append(path, b"{}", a_record("sixth"))
    path.with_suffix(".head").write_bytes(head)
    assert ledger.verify(path, {}) == []
    ledger.append(path, b"{}", a_record("seventh"))
    assert ledger.verify(path, {}) == []
    assert len(list(ledger.read(path))) == 7


def test_nothing_is_appended_to_a_cut_ledger(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    with pytest.raises(EdgemlError, match="cut"):
        ledger.append(path, b"{}", a_record())


def _append_ten(path: Path) -> None:
    for _ in range(10):
        ledger.append(path, b"{}", a_record())


def test_processes_append_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    jobs = [multiprocessing.get_context("spawn").Process(target=_append_ten, args=(path,)) for _ in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [r.number for r in ledger.read(path)] == list(range(1, 31))
    assert ledger.verify(path, {}) == []
