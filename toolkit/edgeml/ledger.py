"""The ledger: an append-only file of gate records, each chained to the one before by its hash.

A line is `{"hash": ..., "record": ...}`; the hash is the SHA-256 of the record's bytes, which name the hash before. Beside it,
`ledger.head` holds the number and hash of the last record, so that a cut at the end is seen; each signed release carries
the head of its day, which is out of reach of whoever can write both files.

An append, in this order: the evidence's file, the line and its fsync, the head. A line that a power cut left half is
dropped by the next append: it was never reported as done.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from edgeml.gates import Phase, Verdict
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import fsync_folder, told, write_atomic

START: Final = "0" * 64
TAIL_BYTES: Final = 1 << 14  # holds the last record, as a rule
_MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict of one gate.

    Args:
        number: Counts from 1.
        at: Seconds since 1970, UTC.
        by: Who asked: a command, the server's policy, or a person.
        phase, gate, requirement, risk, check: The gate, as it was then.
        subject: What was judged: a dataset, model or release.
        threshold, value, reason: The finding, in words with units.
        verdict: The finding's verdict, or `waived`.
        evidence: SHA-256 of the evidence's file in `evidence/`.
        previous: The hash of the record before, 64 zeros for the first.
    """

    number: int
    at: float
    by: str
    phase: Phase
    gate: str
    requirement: str
    risk: str
    check: str
    subject: str
    threshold: str
    value: str
    reason: str
    verdict: Verdict
    evidence: str
    previous: str


class Fault(msgspec.Struct, frozen=True):
    """Something about the ledger is not as it was written: at which record, and what."""

    number: int
    what: str


class Head(msgspec.Struct, frozen=True):
    """The last record's number and hash."""

    number: int
    hash: str


class _Line(msgspec.Struct, frozen=True):
    hash: str
    record: msgspec.Raw


def head(path: Path) -> str:
    """Return the hash of the last record, 64 zeros where there is none."""
    return _last(path).hash


def append(path: Path, evidence: bytes, record: Record) -> Record:
    """Append `record`; its number, evidence and previous hash are set here. It is durable when this returns.

    Processes may append at the same time: each waits for the other.

    Raises:
        EdgemlError: The ledger's end is not what its head says, or the disk is full or read-only.
    """
    digest = hashlib.sha256(evidence).hexdigest()
    kept = path.parent / "evidence" / f"{digest}.json"
    if not kept.exists():
        write_atomic(kept, evidence)
    with _alone(path):
        if not path.exists() and not _head_file(path).exists():
            write_atomic(_head_file(path), msgspec.json.encode(Head(0, START)))  # from now on its absence tells
        before = _last(path)
        record = msgspec.structs.replace(record, number=before.number + 1, evidence=digest, previous=before.hash)
        content = msgspec.json.encode(record)
        line = _Line(hashlib.sha256(content).hexdigest(), msgspec.Raw(content))
        _write_line(path, msgspec.json.encode(line) + b"\n")
        write_atomic(_head_file(path), msgspec.json.encode(Head(record.number, line.hash)))
    return record


def read(path: Path) -> Iterator[Record]:
    """Yield the records, oldest first, without checking them; `verify` does.

    Raises:
        EdgemlError: A line is no record.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return  # a power cut left it half
            try:
                yield msgspec.json.decode(msgspec.json.decode(line, type=_Line).record, type=Record)
            except _MALFORMED as error:
                raise EdgemlError(
                    f"no record: {error}",
                    where=f"{path}, line {number}",
                    mend="find the change with edgeml lifecycle verify",
                ) from error


def verify(path: Path, anchors: Mapping[str, str | None]) -> list[Fault]:
    """Return every place where the ledger, its evidence or its head was changed or cut; an empty list when it is whole.

    Args:
        path: The ledger.
        anchors: Heads that are kept elsewhere, by the name of who keeps them: the signed releases; `None` where a release
            is known of but its file is missing or was changed.
    """
    faults: list[Fault] = []
    seen, previous, number = {START}, START, 0
    for number, line in enumerate(_lines(path), 1):
        fault = _fault_of(line, number, previous, path.parent / "evidence")
        if fault:
            faults.append(Fault(number, fault))
        with contextlib.suppress(*_MALFORMED):
            previous = msgspec.json.decode(line, type=_Line).hash
        seen.add(previous)
    last = _read_head(path)
    if number and not _head_file(path).exists():
        faults.append(Fault(number, "the head beside it is missing"))
    elif last.number > number:
        faults.append(Fault(number + 1, f"cut: {last.number} records were written, {number} are left"))
    elif last.number < number - 1 or last.hash not in seen:
        faults.append(Fault(number, "the head does not belong to this ledger"))
    faults += [
        Fault(number, f"the head that {name} carries is missing") for name, h in anchors.items() if h not in seen
    ]
    return faults


def _fault_of(line: bytes, number: int, previous: str, evidence: Path) -> str | None:
    try:
        found = msgspec.json.decode(line, type=_Line)
        record = msgspec.json.decode(found.record, type=Record)
    except _MALFORMED as error:
        return f"unreadable: {error}"
    if hashlib.sha256(bytes(found.record)).hexdigest() != found.hash:
        return f"changed: {record.gate} is not what was hashed"
    if record.previous != previous or record.number != number:
        return "a record before it was cut, added or changed"
    try:
        whole = hashlib.sha256((evidence / f"{record.evidence}.json").read_bytes()).hexdigest() == record.evidence
    except OSError:
        return f"the evidence of {record.gate} is missing: {record.evidence}"
    return None if whole else f"the evidence of {record.gate} was changed: {record.evidence}"


def _lines(path: Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    return content.split(b"\n")[:-1]  # what follows the last line end was left half by a power cut


def _last(path: Path) -> Head:
    """Return the last whole record's number and hash, from the file's end, checked against the head."""
    known, content = _read_head(path), _last_line(path)
    cut = EdgemlError("the ledger was cut", where=str(path), mend="restore it, then edgeml lifecycle verify")
    if not content:
        if known.number:
            raise cut
        return Head(0, START)
    try:
        line = msgspec.json.decode(content, type=_Line)
        last = Head(msgspec.json.decode(line.record, type=Record).number, line.hash)
    except _MALFORMED as error:
        raise EdgemlError(
            f"its last record is unreadable: {error}", where=str(path), mend="restore it, then edgeml lifecycle verify"
        ) from error
    if last.number not in (known.number, known.number + 1):  # one more: a power cut came before the head was written
        raise cut
    return last


def _last_line(path: Path) -> bytes:
    """Return the last whole line, read from the end; empty where there is none."""
    if not path.exists():
        return b""
    taken, size = TAIL_BYTES, path.stat().st_size
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size - taken))
            lines = file.read().split(b"\n")[:-1]
            if len(lines) > 1 or taken >= size:
                return lines[-1] if lines else b""
            taken *= 2  # the line is longer than what was read


def _read_head(path: Path) -> Head:
    try:
        return msgspec.json.decode(_head_file(path).read_bytes(), type=Head)
    except (FileNotFoundError, *_MALFORMED):
        return Head(0, START)


def _head_file(path: Path) -> Path:
    return path.with_suffix(".head")


def _write_line(path: Path, line: bytes) -> None:
    try:
        new = not path.exists()
        with path.open("r+b" if not new else "xb", buffering=0) as file:
            whole = 0 if new else _whole_bytes(path)
            file.truncate(whole)
            file.seek(whole)
            try:
                _write_all(file, line)
                os.fsync(file.fileno())
            except OSError:
                file.truncate(whole)  # what fitted of the line on a full disk
                raise
        if new:
            fsync_folder(path.parent)
    except OSError as error:
        raise EdgemlError(
            f"cannot be written: {error.strerror}", where=str(path), mend="free some space or make the folder writable"
        ) from error


def _write_all(file: io.FileIO, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += file.write(content[written:])


def _whole_bytes(path: Path) -> int:
    content = path.read_bytes()
    return content.rfind(b"\n") + 1


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.with_suffix(".lock").open("w")
    with opened as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
