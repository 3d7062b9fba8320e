"""What every page is built with: the project, the store, the server's deeds; and reading views off the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server.page.actions import Actions
from edgeml.server.page.views.bundles import Bundles
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.timeline import Timeline
from edgeml.server.store import Store

REFRESH_S: Final = 2.0
MOST_KEPT: Final = 256
T = TypeVar("T")
Reader = Callable[[sa.Connection, Scene], T]


@dataclass
class Site:
    """The page's surroundings, one a server.

    Args:
        project, store, actions: What `mount` was given.
        bundles, timeline: Caches over what does not change any more.
    """

    project: Project
    store: Store
    actions: Actions
    bundles: Bundles
    timeline: Timeline = field(default_factory=Timeline)
    _kept: dict[Hashable, tuple[float, Any]] = field(default_factory=dict)
    _locks: dict[Hashable, asyncio.Lock] = field(default_factory=dict)

    async def read(self, key: Hashable, reader: Reader[T]) -> T:
        """Read a view in a worker thread; the same view is read once in two seconds, however many people look at it.

        Args:
            key: What makes the view one of a kind: the page and what was asked of it.
            reader: Reads it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: The store does not answer.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            at, kept = self._kept.get(key, (0.0, None))
            if kept is not None and time.monotonic() - at < 0.9 * REFRESH_S:
                return cast(T, kept)
            view = await asyncio.to_thread(self._read, reader)
            if len(self._kept) > MOST_KEPT:
                self._kept.clear()
                self._locks = {key: self._locks[key]}
            self._kept[key] = (time.monotonic(), view)
            return view

    def forget(self) -> None:
        """Read everything anew: a deed was done."""
        self._kept.clear()

    def _read(self, reader: Reader[T]) -> T:
        with self.store.reading() as connection:
            return reader(connection, Scene(self.project, time.time(), self.bundles))
