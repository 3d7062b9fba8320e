"""From an offer to a release that serves: fetch, verify, unpack beside the one that serves, try, switch, tell the server.

It works in a thread of its own, so that an update never interrupts serving, and tries a bundle in a process of its own, so
that one that crashes or hangs its runtime cannot take the agent with it. `slots` says in which order, and what a power
cut leaves. Whatever is wrong is reported, and the release that served goes on.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from edgeml_agent.fetch import NotNow, Server
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity
from edgeml_agent.infer import Engine, load_engine
from edgeml_agent.messages import Offer
from edgeml_agent.selftest import SelfTest
from edgeml_agent.serving import Note, Serving
from edgeml_agent.slots import OTHER, Event, Journal, advance, unpack
from edgeml_agent.startup import recover
from edgeml_agent.trust import verified
from edgeml_targets.contract.bundle import Bundle
from edgeml_targets.contract.errors import EdgemlError, NotWritten

LOG: Final = logging.getLogger(__name__)
SELF_TEST_LIMIT_S: Final = 120.0
FIRST_WAIT_S: Final = 2.0  # before what may work later is attempted again; it doubles
LONGEST_WAIT_S: Final = 300.0
MOST_ATTEMPTS: Final = 8  # some eight minutes; then the server is told, and offers it again when it will


class Unhealthy(EdgemlError):
    """A bundle did not stand its trial."""


class Updater:
    """Takes up offers, one at a time; the latest counts.

    Args:
        folder: The device's folder.
        identity: Whose device this is.
        serving: What serves.
        announce: Called when another release serves.
    """

    def __init__(
        self, folder: DeviceFolder, identity: Identity, serving: Serving, announce: Callable[[], None]
    ) -> None:
        self._folder, self._identity, self._serving, self._announce = folder, identity, serving, announce
        self._server = Server(identity)
        self._changed = threading.Condition()
        self._offer: Offer | None = None  # the one that waits
        self._present: Offer | None = None  # the one under way
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def offer(self, offer: Offer) -> None:
        """Take up `offer` when the present one is done with; it takes the place of one that waits.

        The server says an offer again and again; one that is under way already is not taken up twice.
        """
        with self._changed:
            self._offer = offer if offer != self._present else None
            self._changed.notify()

    def stop(self) -> None:
        """Make `run` return soon; what was being fetched or tried is dropped, and offered again after the next start."""
        self._stopping.set()
        if self._child is not None:
            self._child.kill()
        with self._changed:
            self._changed.notify()

    def run(self) -> None:
        """Take up offers until `stop`; the body of a thread."""
        while (offer := self._next()) is not None:
            self._take_up(offer)

    def _next(self) -> Offer | None:
        with self._changed:
            self._present = None
            self._changed.wait_for(lambda: self._offer is not None or self._stopping.is_set())
            self._present, self._offer = self._offer, None
            return None if self._stopping.is_set() else self._present

    def _take_up(self, offer: Offer) -> None:
        """Bring an offer to its end, again and again while it cannot be fetched and no other has come."""
        wait_s = FIRST_WAIT_S
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                return self._update(offer)
            except (NotNow, NotWritten) as error:  # the release is not to blame
                LOG.warning("%s (attempt %d of %d)", error, attempt, MOST_ATTEMPTS)
                if attempt == MOST_ATTEMPTS:
                    return self._report(Note("postponed", f"not in {MOST_ATTEMPTS} attempts: {error}", offer.release))
            except EdgemlError as error:
                if self._stopping.is_set():
                    return None
                event = "rolled_back" if isinstance(error, Unhealthy) else "refused"
                return self._report(Note(event, str(error), offer.release))
            with self._changed:
                self._present = None  # said again, it is worth another attempt at once
                self._changed.wait_for(lambda: self._offer is not None or self._stopping.is_set(), wait_s)
                if self._offer is not None or self._stopping.is_set():
                    return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return None

    def _update(self, offer: Offer) -> None:
        """Do the steps that `slots` lists.

        Raises:
            EdgemlError: NotNow, Unhealthy, or what is wrong with the offer; the journal is idle and the release that served serves.
        """
        journal, _ = recover(self._folder)
        if offer.release == journal.release:
            return
        if offer.release in journal.rejected:
            raise Unhealthy("it did not stand its trial here before", where=offer.release, mend="offer another release")
        file = self._folder.journal
        try:
            self._fetch(offer)
            journal = advance(file, journal, Event.FETCHED, offered=offer.release)
            bundle = self._unpack(journal)
        finally:
            self._folder.download.unlink(missing_ok=True)
        journal = advance(file, journal, Event.VERIFIED)
        tried, engine = self._judge(journal, bundle)
        try:
            journal = advance(file, journal, Event.HEALTHY)
        except EdgemlError:
            engine.close()
            raise
        self._commit(journal, engine, str(tried))

    def _fetch(self, offer: Offer) -> None:
        address = self._server.address(offer.url)
        release = verified(self._server.release(address), offer, fleet_key=self._identity.fleet_key, where=address)
        if (ref := release.bundles.get(self._identity.target)) is None:
            raise EdgemlError(
                f"it has no bundle for {self._identity.target}, only for {', '.join(sorted(release.bundles))}",
                where=offer.release,
                mend="compress for this target, too",
            )
        self._server.bundle(self._server.address(ref.path, address), ref, self._folder.download)

    def _unpack(self, journal: Journal) -> Bundle:
        try:
            return unpack(self._folder.download, self._other(journal), target=self._identity.target)
        except EdgemlError:
            advance(self._folder.journal, journal, Event.REFUSED)
            raise

    def _judge(self, journal: Journal, bundle: Bundle) -> tuple[SelfTest, Engine]:
        """Try the other slot, then load it here.

        Raises:
            Unhealthy: It did not stand its trial; the journal says so.
            NotNow: There was no room for the trial.
        """
        file = self._folder.journal
        try:
            return self._try(journal), load_engine(journal.offered, bundle)
        except NotNow:
            advance(file, journal, Event.STOPPED)
            raise
        except EdgemlError as error:
            advance(file, journal, Event.STOPPED if self._stopping.is_set() else Event.UNHEALTHY)
            raise Unhealthy(error.what, where=error.where, mend=error.mend) from error

    def _try(self, journal: Journal) -> SelfTest:
        """Run the self-test of the other slot in a process of its own.

        Raises:
            Unhealthy: It failed, crashed, took too long, or did not end with a verdict.
            NotNow: There is no memory for another process.
        """
        command = [sys.executable, "-m", "edgeml_agent", "selftest", "--slot", str(self._other(journal))]
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise NotNow(f"cannot be tried: {error}", where=journal.offered, mend="free some memory") from error
        self._child = child
        if self._stopping.is_set():  # `stop` may have come before there was a child to end
            child.kill()
        with child:
            try:
                out, err = child.communicate(timeout=SELF_TEST_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                raise self._unhealthy(journal, f"its self-test took longer than {SELF_TEST_LIMIT_S:.0f} s") from None
        if child.returncode != 0:
            raise self._unhealthy(journal, f"its self-test ended with {child.returncode}: {_last_line(err)}")
        try:
            found = msgspec.json.decode(_last_line(out), type=SelfTest)  # a runtime may have talked before
        except msgspec.MsgspecError:
            raise self._unhealthy(journal, f"its self-test ended without a verdict: {_last_line(out)}") from None
        if not found.passed:
            raise self._unhealthy(journal, str(found))
        return found

    def _commit(self, journal: Journal, engine: Engine, detail: str) -> None:
        """Switch and tell the server. A disk that is full keeps it waiting; a start in between commits, too."""
        wait_s = FIRST_WAIT_S
        while True:
            try:
                if self._serving.release != engine.release:
                    self._serving.switch(engine)
                self._announce()
                advance(self._folder.journal, journal, Event.COMMITTED)
                return self._report(Note("switched", detail))
            except EdgemlError as error:
                LOG.warning("%s: not switched yet: %s", engine.release, error)
                if self._stopping.wait(wait_s):
                    return None
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _report(self, note: Note) -> None:
        LOG.info("%s %s: %s", note.event, note.offered or self._serving.release, note.detail)
        try:
            self._serving.report(note)
        except EdgemlError as error:  # the next window says which release runs, and the server offers again
            LOG.warning("not reported: %s", error)

    def _unhealthy(self, journal: Journal, what: str) -> Unhealthy:
        return Unhealthy(what, where=journal.offered, mend=f"{journal.release} goes on")

    def _other(self, journal: Journal) -> Path:
        return self._folder.slots / OTHER[journal.active]


def _last_line(said: bytes) -> str:
    return (said.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
