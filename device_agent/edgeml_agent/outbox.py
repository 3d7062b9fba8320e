"""Messages that wait until the server names them as stored, in SQLite: a kill or a power cut at any moment loses none.

A message gets its sequence in the transaction that writes it, so no number is given twice or skipped; `boot` is drawn
anew at each start, so that a device whose disk was set back cannot give an old id to a new message.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edgeml_agent.messages import Report, Stored, Window, encode
from edgeml_targets.contract.errors import EdgemlError

WAIT_S: Final = 5.0  # for somebody else who holds the database: an administrator looking into it
MOST_BYTES: Final = 64 << 20  # of payload: a window of 1.5 kB a minute for a month
KEPT_WHEN_FULL: Final = 7 / 8  # dropping an eighth at once makes it rare, and each time is reported

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS messages (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    boot TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (boot, sequence)
);
CREATE TABLE IF NOT EXISTS tally (sequence INTEGER NOT NULL, waiting INTEGER NOT NULL, bytes INTEGER NOT NULL);
"""

Draft = TypeVar("Draft", Window, Report)


class Waiting(msgspec.Struct, frozen=True):
    """A message that waits: its place in the order of writing, its id, and its bytes for the wire."""

    position: int
    boot: str
    sequence: int
    payload: bytes


class Outbox:
    """What a device has to say and does not yet know to be stored. Any thread may call it.

    Args:
        path: The database; it is made where it is missing. One that is damaged is set aside as `<name>.damaged`, and
            `damaged` says so.
        most_bytes: Payload that it holds at most. When more is written the oldest messages are dropped, and a report
            that says how many is written in the same transaction.
        wait_s: See `WAIT_S`.

    Raises:
        EdgemlError: The database cannot be opened or written.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES, wait_s: float = WAIT_S) -> None:
        self.boot: Final = secrets.token_hex(8)
        self.damaged = False
        self._path, self._most_bytes, self._lock = path, most_bytes, threading.Lock()
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._database = _open(path, wait_s)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise  # locked, read-only, full: the messages in it are whole
                self.damaged = True
                _set_aside(path)
                self._database = _open(path, wait_s)
        with self._transaction() as database:
            database.execute("DELETE FROM tally")
            database.execute("INSERT INTO tally SELECT 0, count(*), coalesce(sum(length(payload)), 0) FROM messages")

    def put(self, draft: Draft) -> Draft:
        """Give `draft` its id, keep it durably, and return it with its id.

        Raises:
            EdgemlError: The disk is full or broken; nothing was written and no number was spent.
        """
        with self._transaction() as database:
            message = self._insert(database, draft)
            (size,) = database.execute("SELECT bytes FROM tally").fetchone()
            if size > self._most_bytes:
                dropped = _drop_oldest(database, size - int(self._most_bytes * KEPT_WHEN_FULL))
                self._insert(database, _report_of_dropped(message, dropped))
        return message

    def after(self, position: int, *, most: int) -> list[Waiting]:
        """Return at most `most` messages that were written after `position`, oldest first; 0 begins at the first."""
        with self._lock, self._told():
            rows = self._database.execute(
                "SELECT position, boot, sequence, payload FROM messages WHERE position > ? ORDER BY position LIMIT ?",
                (position, most),
            ).fetchall()
        return [Waiting(*row) for row in rows]

    def forget(self, stored: Stored) -> None:
        """Delete what the server says it has stored; an id that is not here was deleted before."""
        with self._transaction() as database:
            for sequence in stored.sequences:
                found = database.execute(
                    "SELECT position, length(payload) FROM messages WHERE boot = ? AND sequence = ?",
                    (stored.boot, sequence),
                ).fetchone()
                if found is not None:
                    database.execute("DELETE FROM messages WHERE position = ?", found[:1])
                    database.execute("UPDATE tally SET waiting = waiting - 1, bytes = bytes - ?", found[1:])

    def __len__(self) -> int:
        """How many messages wait."""
        with self._lock, self._told():
            (waiting,) = self._database.execute("SELECT waiting FROM tally").fetchone()
        return int(waiting)

    def close(self) -> None:
        """Close the database; no other call may follow."""
        with self._lock:
            self._database.close()

    def _insert(self, database: sqlite3.Connection, draft: Draft) -> Draft:
        database.execute("UPDATE tally SET sequence = sequence + 1")
        (sequence,) = database.execute("SELECT sequence FROM tally").fetchone()
        message = msgspec.structs.replace(draft, boot=self.boot, sequence=sequence)
        payload = encode(message)
        database.execute(
            "INSERT INTO messages (boot, sequence, payload) VALUES (?, ?, ?)", (self.boot, sequence, payload)
        )
        database.execute("UPDATE tally SET waiting = waiting + 1, bytes = bytes + ?", (len(payload),))
        return message

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a full disk rolls back by itself
                    self._database.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EdgemlError(
                f"the outbox refuses: {error}", where=str(self._path), mend="free some space or check the disk"
            ) from error


def _open(path: Path, wait_s: float) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=wait_s, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut, not only a kill
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
        database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _set_aside(path: Path) -> None:
    """Move a damaged database out of the way, whole: whoever looks into it later needs its log, too."""
    for end in ("", "-wal", "-shm"):
        file = path.with_name(path.name + end)
        if file.exists():
            file.replace(path.with_name(path.name + ".damaged" + end))


def _drop_oldest(database: sqlite3.Connection, least_bytes: int) -> int:
    """Delete the oldest messages until `least_bytes` are freed; return how many that were."""
    freed, count, last = 0, 0, 0
    for position, size in database.execute("SELECT position, length(payload) FROM messages ORDER BY position"):
        freed, count, last = freed + size, count + 1, position
        if freed >= least_bytes:
            break
    database.execute("DELETE FROM messages WHERE position <= ?", (last,))
    database.execute("UPDATE tally SET waiting = waiting - ?, bytes = bytes - ?", (count, freed))
    return count


def _report_of_dropped(message: Window | Report, count: int) -> Report:
    return Report(
        device=message.device,
        boot="",
        sequence=0,
        at=time.time(),
        release=message.release,
        target=message.target,
        event="dropped",
        detail=f"{count} oldest messages were dropped: the outbox was full and the server had not named them as stored",
    )
