"""How an agent starts: an unfinished update is settled, then the active slot is loaded and tried, or the one before it."""

from __future__ import annotations

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.infer import Engine, load_engine
from edgeml_agent.selftest import self_test
from edgeml_agent.serving import Note
from edgeml_agent.slots import Event, Journal, State, advance, after, load_slot, read_journal
from edgeml_targets.contract.errors import EdgemlError


def recover(folder: DeviceFolder) -> tuple[Journal, list[Note]]:
    """Bring a journal that a power cut left unfinished back to idle; return it and what there is to report.

    Calling it again changes nothing.

    Raises:
        EdgemlError: There is no journal, or it cannot be written.
    """
    journal = read_journal(folder.journal)
    if journal.state is State.IDLE:
        return journal, []
    if journal.state is State.COMMITTING:
        committed = advance(folder.journal, journal, Event.COMMITTED)
        return committed, [Note("switched", "a power cut came in between; committed at the start that followed")]
    settled = advance(folder.journal, journal, Event.CUT)
    if journal.offered in settled.rejected:
        times = settled.interrupted[1]
        return settled, [Note("rolled_back", f"its trial was cut off {times} times in a row", journal.offered)]
    return settled, []


def start(folder: DeviceFolder) -> tuple[Engine, list[Note]]:
    """Return the engine that serves from the start on, and what there is to report.

    The active slot is loaded and tried. Where it does not stand that, the release before it does, and becomes the active
    one.

    Raises:
        EdgemlError: No slot holds a bundle that works.
    """
    _tidy(folder)
    journal, notes = recover(folder)
    try:
        return _tried(folder, journal), notes
    except EdgemlError as error:
        if not journal.previous:
            raise
        engine = _tried(folder, after(journal, Event.BROKEN))
        advance(folder.journal, journal, Event.BROKEN)
        return engine, [*notes, Note("rolled_back", f"it did not start: {error}", journal.release)]


def _tidy(folder: DeviceFolder) -> None:
    """Remove what a kill left of a download or of a file that was being replaced."""
    for left in (folder.download, *folder.download.parent.glob(".*")):
        left.unlink(missing_ok=True)


def _tried(folder: DeviceFolder, journal: Journal) -> Engine:
    engine = load_engine(journal.release, load_slot(folder, journal.active))
    if not (found := self_test(engine)).passed:
        engine.close()
        raise EdgemlError(str(found), where=journal.release, mend="offer another release, or flash the device again")
    return engine
