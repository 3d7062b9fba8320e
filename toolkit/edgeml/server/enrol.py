"""Enrolment: a device gets a name, a secret of its own, and the fleet's public key; the store keeps the secret's hash."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable

import msgspec
import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.broker import token_hash
from edgeml.server.releases import public_key
from edgeml.server.running import need_running
from edgeml.server.store import Store
from edgeml.server.tables import ALARMS, CREDENTIALS, DEVICES
from edgeml_agent.messages import NAME
from edgeml_targets.contract.errors import EdgemlError


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What a device needs to know of its server; the fields of `edgeml_agent.identity.Identity` that only the server knows.

    Args:
        device, group, target: Its name, group and target.
        token: Its secret, said here and never again.
        broker_host, broker_port: Of the MQTT broker.
        server_url: Where it fetches releases and bundles.
        fleet_key: The fleet's Ed25519 public key, 64 hex digits.
        release: The release that it should run, `None` when there is none yet.
    """

    device: str
    group: str
    target: str
    token: str
    broker_host: str
    broker_port: int
    server_url: str
    fleet_key: str
    release: str | None

    def __repr__(self) -> str:
        """Name the device, never its secret."""
        return f"Enrolment({self.device!r})"


def enrol(project: Project, device: str, group: str, target: str) -> Enrolment:
    """Enrol a new device; the running server lets it in within a second.

    Raises:
        EdgemlError: The name is another device's, or is no DNS label; the target is none, or the server does not run.
    """
    return _enrol(project, device, group, target, need_free)


def enrol_again(project: Project, device: str, group: str, target: str) -> Enrolment:
    """Enrol a device that may be enrolled already, with another secret: whoever has the one before is let in no more.

    Raises:
        EdgemlError: A name is no DNS label, the target is none, or the server does not run.
    """
    return _enrol(project, device, group, target, lambda _connection, _device: None)


def need_free(connection: sa.Connection, device: str) -> None:
    """Make sure that no device has this name; one that was revoked left it.

    Raises:
        EdgemlError: One has.
    """
    if connection.scalar(sa.select(CREDENTIALS.c.device).where(CREDENTIALS.c.device == device)) is not None:
        mend = "give another name with --device, or take its place with --replace"
        raise EdgemlError("another device has this name", where=device, mend=mend)


def _enrol(
    project: Project, device: str, group: str, target: str, check: Callable[[sa.Connection, str], None]
) -> Enrolment:
    for what, name in (("device", device), ("group", group)):
        if not re.fullmatch(NAME, name):
            raise EdgemlError(
                f"no name for a {what}", where=name, mend="use lower-case letters, digits and hyphens, at most 63"
            )
    project.target(target)
    running = need_running(project)
    token = secrets.token_urlsafe(32)
    store = Store.of(project)
    try:
        fleet_key = public_key(project, store)  # before there is a device that relies on it
        with store.writing() as connection:
            check(connection, device)
            release = _write(connection, device, group, target, token_hash(token))
    finally:
        store.close()
    return Enrolment(
        device=device,
        group=group,
        target=target,
        token=token,
        broker_host=running.broker_host,
        broker_port=running.broker_port,
        server_url=running.server_url,
        fleet_key=fleet_key,
        release=release,
    )


def revoke(store: Store, device: str) -> None:
    """Let a device in no more: it is none of the fleet's, so no rollout waits for it; what it sent stays.

    Raises:
        EdgemlError: It has no credentials.
    """
    with store.writing() as connection:
        gone = connection.execute(sa.delete(CREDENTIALS).where(CREDENTIALS.c.device == device))
        connection.execute(sa.delete(DEVICES).where(DEVICES.c.device == device))
        connection.execute(
            sa.update(ALARMS)
            .where(ALARMS.c.device == device, ALARMS.c.closed_at.is_(None))
            .values(closed_at=time.time())
        )
    if not gone.rowcount:
        raise EdgemlError("has no credentials", where=device, mend="see edgeml fleet ls")


def _write(connection: sa.Connection, device: str, group: str, target: str, kept: str) -> str | None:
    now = time.time()
    desired = rollout.release_for(connection, target)
    known = connection.execute(
        sa.update(DEVICES).where(DEVICES.c.device == device).values(group=group, target=target, desired=desired)
    )
    if not known.rowcount:
        row = {"device": device, "group": group, "target": target, "enrolled_at": now, "state": "never_seen"}
        connection.execute(sa.insert(DEVICES).values(row | {"desired": desired}))
    connection.execute(sa.delete(CREDENTIALS).where(CREDENTIALS.c.device == device))
    connection.execute(sa.insert(CREDENTIALS).values(device=device, token_hash=kept, changed_at=now))
    return desired
