"""The agent: it starts what `startup` finds good, opens the sources and the link, and closes a window at its time.

Threads: this one keeps the time; one a source; one that publishes and paho's own; one for updates. A fault of ours in any
of them ends the agent, so that whatever supervises it starts a whole one.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity, read_identity
from edgeml_agent.link import Link
from edgeml_agent.outbox import Outbox
from edgeml_agent.serving import Note, Serving
from edgeml_agent.sources import open_sources
from edgeml_agent.startup import start
from edgeml_agent.update import Updater
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import told, write_atomic

LOG: Final = logging.getLogger(__name__)
FAREWELL_S: Final = 1.0  # at the end, for the server to name the last messages as stored; what it does not name stays
JOIN_S: Final = 5.0


class Running(msgspec.Struct, frozen=True):
    """What `state/agent.json` says while an agent runs: where it answers, its process, the release that serves."""

    url: str
    pid: int
    release: str


def run(root: Path) -> None:
    """Run the agent of the device whose folder is `root` until SIGTERM or SIGINT; call it in the main thread.

    Raises:
        EdgemlError: The folder is not a device's, another agent runs in it, its port is in use, or no release works.
    """
    folder, identity = DeviceFolder(root), read_identity(root)
    with _alone(folder), contextlib.ExitStack() as stack:
        stopping = threading.Event()
        stack.enter_context(_signals_set(stopping))
        outbox = Outbox(folder.outbox)
        stack.callback(outbox.close)
        engine, notes = start(folder)
        serving = Serving(identity, engine, outbox)
        _Agent(folder, identity, serving, outbox).run(notes, stopping)


class _Agent:
    """The parts of a running agent, and the order in which they end."""

    def __init__(self, folder: DeviceFolder, identity: Identity, serving: Serving, outbox: Outbox) -> None:
        self._folder, self._identity, self._serving, self._outbox = folder, identity, serving, outbox
        self._sources = open_sources(folder, identity, serving)
        self._updater = Updater(folder, identity, serving, self._announce)
        self._link = Link(identity, outbox, self._updater.offer)
        self._fault: BaseException | None = None

    def run(self, notes: list[Note], stopping: threading.Event) -> None:
        """Run until `stopping` is set, then end everything; raise the fault of a thread that ended early."""
        started = f"the agent started with {self._serving.release}"
        if self._outbox.damaged:
            started += "; its outbox was damaged and set aside: messages that waited in it are lost to the server"
        for note in (Note("started", started), *notes):
            self._report(note)
        threads = [self._thread(source.run, stopping) for source in self._sources.values()]
        threads += [self._thread(self._link.run, stopping), self._thread(self._updater.run, stopping)]
        self._link.connect()
        self._announce()
        LOG.info("%s runs %s at %s", self._identity.device, self._serving.release, self._sources["http"].address)
        try:
            self._keep_time(stopping)
        finally:
            self._end(threads)
        if self._fault is not None:
            raise self._fault

    def _keep_time(self, stopping: threading.Event) -> None:
        due = time.monotonic()
        while True:
            due = max(due + self._identity.window_s, time.monotonic())  # a device that slept closes one window, not ten
            if stopping.wait(due - time.monotonic()):
                return
            with _logged("the window stays open"):
                self._serving.close_window()
            self._link.wrote()

    def _end(self, threads: list[threading.Thread]) -> None:
        """Stop what brings samples, write the last window, give the server a moment, then let go of the connection."""
        for source in self._sources.values():
            source.stop()
        self._updater.stop()
        with _logged("the last window is lost"):
            self._serving.close()
        self._report(
            Note("stopped", "the agent was told to stop" if self._fault is None else f"a fault: {self._fault!r}")
        )
        self._link.drained(FAREWELL_S)
        self._link.stop()
        for thread in threads:
            thread.join(JOIN_S)
        self._folder.running.unlink(missing_ok=True)

    def _announce(self) -> None:
        url = self._sources["http"].address
        running = Running(url, os.getpid(), self._serving.release)
        write_atomic(self._folder.running, msgspec.json.encode(running))
        self._link.wrote()

    def _report(self, note: Note) -> None:
        with _logged(f"not reported: {note.event}"):
            self._serving.report(note)
        self._link.wrote()

    def _thread(self, body: Callable[[], None], stopping: threading.Event) -> threading.Thread:
        def guarded() -> None:
            try:
                body()
            except BaseException as fault:
                LOG.exception("a fault of the agent's")
                self._fault = fault
                stopping.set()

        thread = threading.Thread(target=guarded, name=body.__qualname__, daemon=True)
        thread.start()
        return thread


@contextlib.contextmanager
def _alone(folder: DeviceFolder) -> Iterator[None]:
    """Hold the folder's lock: two agents on one outbox would each believe that the other's messages are theirs."""
    lock = folder.root / "state" / "lock"
    with told(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise EdgemlError("another agent runs here", where=str(folder.root.resolve()), mend="stop it first") from error
    try:
        folder.running.unlink(missing_ok=True)  # of an agent that was killed
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _signals_set(stopping: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stopping` while the block runs."""

    def told_to(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, told_to) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Go on after a disk that refuses: serving does not need it, and the next window tries again."""
    try:
        yield
    except EdgemlError as error:
        LOG.warning("%s: %s", what, error)
