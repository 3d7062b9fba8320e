"""The store: SQLite (WAL, every commit on the disk) or PostgreSQL, one code.

A device forgets a message only when the server says `Stored`, and the server says it only after `Store.record` returned.
So `record` commits before it returns, and a message that comes again changes nothing: it is in the store exactly once.

Writes go through `Store.writing`, one at a time in this process; another process (a retrain that publishes a release,
`edgeml fleet rollback`) waits for its turn at the database. Reads never wait for writes.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server import tables
from edgeml_agent.messages import Report, Up, Window, encode
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.histogram import Histogram
from edgeml_targets.contract.latencies import Latencies

BUSY_MS: Final = 20_000  # how long a write waits for another process's
WRITERS_LOCK: Final = 0x65646765_6D6C  # "edgeml": PostgreSQL's advisory lock that every writer holds until its commit
STORE_VARIABLE: Final = "EDGEML_STORE"
DATABASE: Final = "fleet.db"


class Id(NamedTuple):
    """What makes a message one of a kind."""

    device: str
    boot: str
    sequence: int


class Store:
    """An open store. Safe to use from several threads.

    Example:
        >>> store = Store.open("sqlite://")
        >>> with store.reading() as connection:
        ...     connection.scalar(sa.select(sa.func.count()).select_from(tables.DEVICES))
        0
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(edgeml_write=True)
        self._one_writer = threading.Lock()

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at an SQLAlchemy URL and bring its schema up to date; a missing SQLite file is made.

        Raises:
            EdgemlError: It cannot be reached or written, is no store, or was written by a newer edgeml.
        """
        from edgeml.server.migrations import migrate

        shown = url
        try:
            parsed = sa.make_url(url)
            shown = parsed.render_as_string(hide_password=True)
            engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else sa.create_engine(parsed)
            store = cls(engine)
            with store.writing() as connection:
                migrate(connection, where=shown)
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise EdgemlError(
                f"the store cannot be opened: {reason}", where=shown, mend="check the address and who may write there"
            ) from error
        return store

    @classmethod
    def of(cls, project: Project) -> Store:
        """Open a project's store; see `store_url`."""
        return cls.open(store_url(project))

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Yield a connection whose statements see one state of the store."""
        with self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction that commits when the block ends well; one at a time, over all processes.

        What it reads cannot be changed by another writer before it commits.
        """
        with self._one_writer, self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE is such a lock
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITERS_LOCK)))
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def record(self, messages: Sequence[Up], received_at: float) -> list[Id]:
        """Commit `messages`, which were validated, and return the ids of those that are in the store now.

        A message that was stored before is named again, so that a device that missed the answer can forget it.
        A message of a device that is not enrolled is left out and not named.

        Args:
            messages: Of any devices, in the order of their arrival.
            received_at: Seconds since 1970, UTC.
        """
        with self.writing() as connection:
            senders = sorted({m.device for m in messages})
            mine = tables.DEVICES.c.device.in_(senders)
            enrolled = set(connection.scalars(sa.select(tables.DEVICES.c.device).where(mine)))
            known = [m for m in messages if m.device in enrolled]
            _insert(connection, tables.WINDOWS, _window_rows(connection, known, received_at))
            _insert(connection, tables.REPORTS, [_report_row(m, received_at) for m in known if isinstance(m, Report)])
            for device in sorted(enrolled):
                _hear(connection, [m for m in known if m.device == device], received_at)
        return [Id(m.device, m.boot, m.sequence) for m in known]


def store_url(project: Project) -> str:
    """Return the address of a project's store: `EDGEML_STORE`, else the project file's, else SQLite in `fleet/`."""
    default = f"sqlite:///{project.fleet_folder / DATABASE}"
    return os.environ.get(STORE_VARIABLE) or project.fleet.store or default


def _sqlite(url: sa.URL) -> sa.Engine:
    """Return an engine whose every commit is on the disk, and whose writers queue up instead of failing half-way."""
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_MS / 1000})
    else:
        engine = sa.create_engine(url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we begin transactions ourselves, below
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer that began as a reader can meet SQLITE_BUSY in the middle; one that begins IMMEDIATE waits before it.
        write = connection.get_execution_options().get("edgeml_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; one whose key is there already is left as it is."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        connection.execute(sqlite_insert(table).on_conflict_do_nothing(), rows)
    else:
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        connection.execute(postgresql_insert(table).on_conflict_do_nothing(), rows)


def _window_rows(connection: sa.Connection, messages: Sequence[Up], received_at: float) -> list[dict[str, Any]]:
    windows = [m for m in messages if isinstance(m, Window)]
    last: int = connection.scalar(sa.select(sa.func.coalesce(sa.func.max(tables.WINDOWS.c.arrival), 0))) or 0
    return [_window_row(w, received_at) | {"arrival": last + i} for i, w in enumerate(windows, 1)]


def _window_row(window: Window, received_at: float) -> dict[str, Any]:
    return {
        "device": window.device,
        "boot": window.boot,
        "sequence": window.sequence,
        "began_at": window.began_at,
        "ended_at": window.ended_at,
        "received_at": received_at,
        "release": window.release,
        "target": window.target,
        "answers": window.answers,
        "unknown": window.unknown,
        "errors": window.errors,
        "p50_us": _quantile(window.latency_us, 0.5),
        "p99_us": _quantile(window.latency_us, 0.99),
        "confidence_p10": _quantile(window.confidence, 0.1),
        "confidence_p50": _quantile(window.confidence, 0.5),
        "memory_bytes": window.memory_bytes,
        "temperature_c": window.temperature_c,
        "waiting": window.waiting,
        "content": encode(window),
    }


def _report_row(report: Report, received_at: float) -> dict[str, Any]:
    return {
        "device": report.device,
        "boot": report.boot,
        "sequence": report.sequence,
        "at": report.at,
        "release": report.release,
        "event": _text(report.event, 32),
        "detail": _text(report.detail, 2000),
        "offered": _text(report.offered, 63),
        "received_at": received_at,
    }


def _hear(connection: sa.Connection, messages: Sequence[Up], received_at: float) -> None:
    """Note that a device was heard, and what it runs by its newest message, unless a newer one came before.

    Old messages come late from an outbox. A device's clock may run ahead; its messages count as said when they came.
    """
    devices, newest = tables.DEVICES, max(messages, key=_said_at)
    said_at = min(_said_at(newest), received_at)
    mine = devices.c.device == newest.device
    connection.execute(sa.update(devices).where(mine).values(last_seen=received_at))
    older = sa.or_(devices.c.said_at.is_(None), devices.c.said_at <= said_at)
    connection.execute(sa.update(devices).where(mine, older).values(said_at=said_at, release=newest.release))
    for report in (m for m in messages if isinstance(m, Report) and m.agent):
        about = {"agent": _text(report.agent, 32), "python": _text(report.python, 32)}
        connection.execute(sa.update(devices).where(mine).values(about | {"machine": _text(report.machine, 64)}))


def _said_at(message: Up) -> float:
    return message.ended_at if isinstance(message, Window) else message.at


def _quantile(histogram: Histogram | Latencies, share: float) -> float | None:
    value = histogram.quantile(share)
    return value if math.isfinite(value) else None


def _text(text: str, most: int) -> str:
    """Return text that every database takes: no NUL (PostgreSQL refuses it), not longer than its column."""
    return text.replace("\0", "")[:most]
