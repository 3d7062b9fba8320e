"""Sources: a file each brings samples to what serves, and the answers back. The folder is the list.

Each file ends in `SOURCE = ...`, a function that opens the source.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Protocol

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity
from edgeml_agent.serving import Serving


class Source(Protocol):
    """One way in, open from the moment it is made."""

    address: str
    """Where samples go: an address or a folder."""

    def run(self) -> None:
        """Bring samples until `stop`; the body of a thread."""

    def stop(self) -> None:
        """Take no more; return once what was taken is answered."""


Opens = Callable[[DeviceFolder, Identity, Serving], Source]


def source_names() -> list[str]:
    """Return the names of all sources, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def open_sources(folder: DeviceFolder, identity: Identity, serving: Serving) -> dict[str, Source]:
    """Open every source, by name.

    Raises:
        EdgemlError: One cannot be opened: a port in use, a folder that cannot be made.
    """
    opened: dict[str, Source] = {}
    try:
        for name in source_names():
            opens: Opens = importlib.import_module(f"{__name__}.{name}").SOURCE
            opened[name] = opens(folder, identity, serving)
    except BaseException:
        for source in opened.values():
            source.stop()
        raise
    return opened
