"""What lies where in a device's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeml_agent import identity


@dataclass(frozen=True)
class DeviceFolder:
    """A device's folder: everything that an agent reads or writes lies below `root`."""

    root: Path

    @property
    def identity(self) -> Path:
        """Who the device is; mode 0600."""
        return self.root / identity.FILE

    @property
    def slots(self) -> Path:
        """`slots/a` and `slots/b`: the bundle that runs, and the one before it or the one that is being installed."""
        return self.root / "slots"

    @property
    def journal(self) -> Path:
        """Which slot runs, which is the last good one, and how far an update has come."""
        return self.root / "state" / "journal.json"

    @property
    def outbox(self) -> Path:
        """Messages that the server has not yet named as stored; SQLite."""
        return self.root / "state" / "outbox.db"

    @property
    def running(self) -> Path:
        """`{url, pid, release}` of the agent that runs, written once it is ready."""
        return self.root / "state" / "agent.json"

    @property
    def download(self) -> Path:
        """The bundle that is being fetched."""
        return self.root / "state" / "download.bundle"

    @property
    def inbox(self) -> Path:
        """The watched folder: a sample put here is answered by `NAME.json` beside it."""
        return self.root / "inbox"
