"""Offers: each device is told which release it should run, whenever it is heard and from time to time, until it runs it.

Nothing is said to a device that was not heard of lately: a broker would pile up what nobody reads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from edgeml.project import Fleet
from edgeml.server.rollout import silent_after_s
from edgeml.server.store import Store
from edgeml.server.tables import DEVICES
from edgeml_agent.messages import Offer

LEAST_AGAIN_S: Final = 2.0
MOST_AGAIN_S: Final = 30.0


class Offers:
    """What is to be offered. Safe to use from several threads.

    Args:
        store: Knows what devices run and should run.
        fleet: Its window sets how often an offer is said again.
        server_url: Where releases lie.
    """

    def __init__(self, store: Store, fleet: Fleet, server_url: str) -> None:
        self._store, self._url = store, server_url
        self._again_s = min(max(4 * fleet.window_s, LEAST_AGAIN_S), MOST_AGAIN_S)
        self._heard_s = silent_after_s(fleet)
        self._said: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def due(self, now: float, devices: Sequence[str] | None = None) -> list[tuple[str, Offer]]:
        """Return what to tell the devices that were heard of lately, or those of them in `devices`.

        An offer is due when the device does not run what it should, and it was not said in the last moments.
        """
        other = DEVICES.c.desired != sa.func.coalesce(DEVICES.c.release, "")
        query = sa.select(DEVICES.c.device, DEVICES.c.desired).where(other, DEVICES.c.last_seen >= now - self._heard_s)
        if devices is not None:
            query = query.where(DEVICES.c.device.in_(devices))
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        with self._lock:
            fresh = [row for row in rows if self._is_due(row.device, row.desired, now)]
            self._said.update({row.device: (row.desired, now) for row in fresh})
        return [(row.device, Offer(row.desired, f"{self._url}/releases/{row.desired}")) for row in fresh]

    def _is_due(self, device: str, release: str, now: float) -> bool:
        said, at = self._said.get(device, ("", 0.0))
        return said != release or now - at >= self._again_s
