"""Two slots and the journal that says which of them runs: the order of an update, durable at every step.

1. The bundle was fetched, and is what the fleet signed. The other slot is of no account now.   IDLE -> UNPACKING
2. It lies in the other slot, whole.                                                            UNPACKING -> TRYING
3. It answered its golden samples as on the host, and is loaded.                                TRYING -> COMMITTING
4. It serves, and is what starts.                                                               COMMITTING -> IDLE

Fetching changes nothing here: whoever can make offers but cannot sign must not cost the device its way back. After a power
cut the journal decides: what was being unpacked is dropped, what was being tried is not started (it may have been the
cause), what was being committed is committed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final, Literal

import msgspec

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.messages import Name
from edgeml_targets.contract.bundle import Bundle, load_bundle, open_bundle
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import fsync_folder, write_atomic

Slot = Literal["a", "b"]
OTHER: Final[Mapping[Slot, Slot]] = {"a": "b", "b": "a"}
MOST_TRIALS: Final = 2  # a power cut may interrupt a good release once; twice in a row it is the likely cause
MOST_REJECTED: Final = 16  # names remembered


class State(str, Enum):
    """How far an update has come."""

    IDLE = "idle"  # the active slot runs; the other holds the release before it, or is of no account
    UNPACKING = "unpacking"  # the other slot is being written and must not start
    TRYING = "trying"  # the other slot is whole and verified, and is being tried beside the one that serves
    COMMITTING = "committing"  # the other slot is healthy and is being made the active one


class Event(str, Enum):
    """What happens to an update."""

    FETCHED = "fetched"  # the bundle is here, and is what was signed
    REFUSED = "refused"  # it is no bundle, or one for another target
    VERIFIED = "verified"
    UNHEALTHY = "unhealthy"  # the self-test failed, or it could not be loaded
    HEALTHY = "healthy"
    COMMITTED = "committed"
    STOPPED = "stopped"  # the agent stops on purpose: no fault of the release
    CUT = "cut"  # the agent starts and finds the update unfinished
    BROKEN = "broken"  # the active slot cannot start, and the one before it can


NEXT: Final[Mapping[tuple[State, Event], State]] = {
    (State.IDLE, Event.FETCHED): State.UNPACKING,
    (State.UNPACKING, Event.REFUSED): State.IDLE,
    (State.UNPACKING, Event.STOPPED): State.IDLE,
    (State.UNPACKING, Event.CUT): State.IDLE,
    (State.UNPACKING, Event.VERIFIED): State.TRYING,
    (State.TRYING, Event.UNHEALTHY): State.IDLE,
    (State.TRYING, Event.STOPPED): State.IDLE,
    (State.TRYING, Event.CUT): State.IDLE,
    (State.TRYING, Event.HEALTHY): State.COMMITTING,
    (State.COMMITTING, Event.COMMITTED): State.IDLE,
    (State.IDLE, Event.BROKEN): State.IDLE,
}


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Which slot runs, and how far an update has come.

    Args:
        state: See `State`.
        active: The slot that serves and starts; it always holds a whole bundle that was good once.
        release: The release in it.
        previous: The release in the other slot, whole and good once; empty where there is none.
        offered: The release that the update is about; empty when idle.
        interrupted: A release whose trial was cut off, and how often in a row.
        rejected: Releases that failed their self-test here, the latest last; they are not tried again.
    """

    state: State = State.IDLE
    active: Slot = "a"
    release: Name
    previous: str = ""
    offered: str = ""
    interrupted: tuple[str, int] = ("", 0)
    rejected: tuple[str, ...] = ()


def after(journal: Journal, event: Event, *, offered: str = "") -> Journal:
    """Return what the journal says once `event` has happened; `offered` names the release that was fetched.

    Raises:
        ValueError: The event cannot happen in this state.
    """
    if (state := NEXT.get((journal.state, event))) is None:
        raise ValueError(f"{event.value} cannot follow {journal.state.value}")
    changed = msgspec.structs.replace(journal, state=state)
    if event is Event.FETCHED:
        return msgspec.structs.replace(changed, offered=offered, previous="")
    if event is Event.COMMITTED:
        return msgspec.structs.replace(
            changed,
            active=OTHER[journal.active],
            release=journal.offered,
            previous=journal.release,
            offered="",
            interrupted=("", 0),
        )
    if event is Event.BROKEN:
        return msgspec.structs.replace(
            _rejecting(changed, journal.release),
            active=OTHER[journal.active],
            release=journal.previous,
            previous="",
        )
    if event is Event.UNHEALTHY:
        changed = _rejecting(changed, journal.offered)
    if event is Event.CUT and journal.state is State.TRYING:
        name, times = journal.interrupted
        times = times + 1 if name == journal.offered else 1
        changed = msgspec.structs.replace(changed, interrupted=(journal.offered, times))
        if times >= MOST_TRIALS:
            changed = _rejecting(changed, journal.offered)
    return changed if state is not State.IDLE else msgspec.structs.replace(changed, offered="")


def advance(file: Path, journal: Journal, event: Event, *, offered: str = "") -> Journal:
    """Make the next state durable, then return it. Do its work only then, and do it again after a power cut.

    Raises:
        ValueError: The event cannot happen in this state.
        EdgemlError: The journal cannot be written; nothing has changed.
    """
    changed = after(journal, event, offered=offered)
    write_journal(file, changed)
    return changed


def read_journal(file: Path) -> Journal:
    """Read the journal.

    Raises:
        EdgemlError: There is none, or it is damaged.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=Journal)
    except (OSError, msgspec.MsgspecError) as error:
        raise EdgemlError(f"no journal: {error}", where=str(file), mend="flash the device again") from error


def write_journal(file: Path, journal: Journal) -> None:
    """Replace the journal, whole and durable.

    Raises:
        EdgemlError: It cannot be written.
    """
    write_atomic(file, msgspec.json.encode(journal))


def unpack(bundle: Path, slot: Path, *, target: str) -> Bundle:
    """Empty `slot` and unpack a bundle into it.

    Raises:
        EdgemlError: It is no bundle, or one for another target.
    """
    shutil.rmtree(slot, ignore_errors=True)
    opened = open_bundle(bundle, slot)
    if (made_for := opened.manifest.settings.target) != target:
        raise EdgemlError(f"it was made for {made_for}, this is {target}", where=str(bundle), mend="offer another")
    fsync_folder(slot.parent)
    return opened


def install(root: Path, bundle: Path, *, release: str, target: str) -> None:
    """Put the first bundle into a device's folder, so that an agent can start; an agent must not run there meanwhile.

    Args:
        root: The device's folder.
        bundle: The bundle's file.
        release: The release that it is of.
        target: The device's target.

    Raises:
        EdgemlError: It is no bundle, or one for another target; a release that was there before still starts.
    """
    folder = DeviceFolder(root)
    slot: Slot = "a"
    if folder.journal.exists():
        slot = OTHER[read_journal(folder.journal).active]
    unpack(bundle, folder.slots / slot, target=target)
    write_journal(folder.journal, Journal(active=slot, release=release))


def load_slot(folder: DeviceFolder, slot: Slot) -> Bundle:
    """Return the bundle in a slot, its files checked against their hashes.

    Raises:
        EdgemlError: There is none, or it was changed.
    """
    return load_bundle(folder.slots / slot)


def _rejecting(journal: Journal, release: str) -> Journal:
    kept = tuple(r for r in journal.rejected if r != release)
    return msgspec.structs.replace(journal, rejected=(*kept, release)[-MOST_REJECTED:])
