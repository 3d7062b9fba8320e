"""What `edgeml fleet` and the API tell: documents read from the store."""

from __future__ import annotations

from typing import Final

import msgspec
import sqlalchemy as sa

from edgeml.server.store import Store
from edgeml.server.tables import DECISIONS, DEVICES, WINDOWS
from edgeml_targets.contract.errors import EdgemlError

MOST: Final = 1_000


class FleetDevice(msgspec.Struct, frozen=True):
    """A device: what it runs, when it was last heard (seconds since 1970), and how it is."""

    device: str
    group: str
    target: str
    release: str | None
    last_seen: float | None
    state: str
    desired: str | None
    reason: str


class FleetList(msgspec.Struct, frozen=True):
    """The document `edgeml.fleet/1`."""

    schema: str
    devices: tuple[FleetDevice, ...]


class TelemetryWindow(msgspec.Struct, frozen=True):
    """One window; latencies in microseconds, times in seconds since 1970; `None` where nothing was measured."""

    device: str
    began_at: float
    ended_at: float
    release: str
    answers: int
    unknown: int
    errors: int
    p50_us: float | None
    p99_us: float | None
    confidence_p50: float | None
    memory_bytes: int | None
    temperature_c: float | None


class Telemetry(msgspec.Struct, frozen=True):
    """The document `edgeml.telemetry/1`: newest windows first."""

    schema: str
    windows: tuple[TelemetryWindow, ...]


class DecisionEntry(msgspec.Struct, frozen=True):
    """One decision, with the figures it rests on."""

    at: float
    kind: str
    status: str
    title: str
    figure: str
    reason: str
    by: str
    evidence: str | None


class Decisions(msgspec.Struct, frozen=True):
    """The document `edgeml.decisions/1`: newest first."""

    schema: str
    decisions: tuple[DecisionEntry, ...]


def fleet(store: Store) -> FleetList:
    """Return all devices, by name."""
    columns = [DEVICES.c[field.name] for field in msgspec.structs.fields(FleetDevice)]
    with store.reading() as connection:
        rows = connection.execute(sa.select(*columns).order_by(DEVICES.c.device)).all()
    return FleetList("edgeml.fleet/1", tuple(FleetDevice(*row) for row in rows))


def telemetry(store: Store, device: str | None = None, *, most: int = 20) -> Telemetry:
    """Return the newest windows, of all devices or of one.

    Raises:
        EdgemlError: No device has that name.
    """
    columns = [WINDOWS.c[field.name] for field in msgspec.structs.fields(TelemetryWindow)]
    query = sa.select(*columns).order_by(WINDOWS.c.arrival.desc()).limit(min(most, MOST))
    with store.reading() as connection:
        if device is not None:
            if connection.scalar(sa.select(DEVICES.c.device).where(DEVICES.c.device == device)) is None:
                raise EdgemlError("no such device", where=device, mend="see edgeml fleet ls")
            query = query.where(WINDOWS.c.device == device)
        rows = connection.execute(query).all()
    return Telemetry("edgeml.telemetry/1", tuple(TelemetryWindow(*row) for row in rows))


def decisions(store: Store, *, most: int = 100) -> Decisions:
    """Return the newest decisions."""
    columns = [DECISIONS.c[field.name] for field in msgspec.structs.fields(DecisionEntry)]
    query = sa.select(*columns).order_by(DECISIONS.c.at.desc(), DECISIONS.c.id.desc()).limit(min(most, MOST))
    with store.reading() as connection:
        rows = connection.execute(query).all()
    return Decisions("edgeml.decisions/1", tuple(DecisionEntry(*row) for row in rows))


def to_json(document: msgspec.Struct) -> bytes:
    """Return a document as JSON for people and machines."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1)
