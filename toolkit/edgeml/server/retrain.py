"""The retrain job: a child process, `edgeml retrain --json`, one at a time, which dies with the server.

It trains, compresses, lets the challenger meet the champion, and publishes the release itself; the server only watches
and notes how it ended. One that the server's end cut short is noted as interrupted and starts anew: it had no say yet.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from edgeml import ledger
from edgeml.figures import percent
from edgeml.ledger import Record
from edgeml.project import Project
from edgeml.retraining import SCHEMA, Contender
from edgeml.retraining import Retrain as Document
from edgeml.server import children
from edgeml.server.alarms import Alarm, close_alarm, open_alarm
from edgeml.server.decisions import Decision, decide
from edgeml.server.store import Store
from edgeml.server.tables import RELEASES, RETRAINS
from edgeml_bench import machine
from edgeml_targets.contract.errors import EdgemlError

BEFORE_S: Final = 0.001
GATE: Final = "challenger_beats_champion"
MEND: Final = "Read fleet/retrain.log, then add labels that show what has changed."
_LOG = logging.getLogger(__name__)


def training_threads() -> int:
    """Return how many threads train beside a server: all cores but one, since threads wait for the one that has none.

    On 2 cores, one of them busy, an epoch of ResNet-8 on 3,000 images took 7 to 59 s with 2 threads and 1.5 to 2.4 s with 1.
    """
    return max(machine().cores - 1, 1)


@dataclass(frozen=True)
class Failed:
    """The last retrain that brought no release: when it ended and how many new labels it tried."""

    ended_at: float
    labels: int


class Retrain:
    """The retrains of a project, one at a time. Use it from one thread that lives as long as the server.

    Args:
        project: What is retrained.
        store: Where retrains are noted.
        command: What runs; default: `edgeml retrain` of this installation.
    """

    def __init__(self, project: Project, store: Store, command: Sequence[str] | None = None) -> None:
        self._project, self._store = project, store
        self._command = command or (sys.executable, "-m", "edgeml", "retrain", "--project", str(project.root), "--json")
        self._child: subprocess.Popen[bytes] | None = None
        self._id, self._began = 0, 0.0
        with store.writing() as connection:
            cut = sa.update(RETRAINS).where(RETRAINS.c.ended_at.is_(None))
            connection.execute(cut.values(ended_at=time.time(), verdict="interrupted", detail="the server ended"))

    def running(self) -> bool:
        """Say whether a retrain runs."""
        return self._child is not None

    def start(self, reason: str, labels: int, decision: Decision, now: float) -> None:
        """Note a retrain and start it: one that is noted and was not started counts as interrupted.

        Raises:
            RuntimeError: One runs already.
        """
        if self._child is not None:
            raise RuntimeError("a retrain runs already")
        with self._store.writing() as connection:
            row = {"started_at": now, "reason": reason, "labels": labels}
            self._id = connection.execute(sa.insert(RETRAINS).values(row).returning(RETRAINS.c.id)).scalar_one()
            decide(connection, decision, now)
        self._began = now
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with self._output.open("wb") as output, self._log.open("wb") as log:
            threads = {"OMP_NUM_THREADS": str(training_threads())}
            self._child = children.start(self._command, output=output, errors=log, environment=threads)
        _LOG.info("a retrain runs: %s", reason)

    def poll(self, now: float) -> Document | None:
        """Note how a retrain ended, if it did since the last call; return its result where it gave one."""
        if self._child is None or (code := self._child.poll()) is None:
            return None
        self._child = None
        result = _read(self._output)
        self._note(result, "" if result else f"exit {code}: {_last_line(self._log)}", now)
        return result

    def stop(self) -> None:
        """End a retrain that runs."""
        if self._child is not None:
            children.stop(self._child)
            self._child = None

    def last_without(self, release: str, since: float) -> Failed | None:
        """Return the last retrain since then that did not lead to `release`: it brought nothing that the fleet runs now.

        Its labels count as tried, unless it ended with an error and had no say.
        """
        others = sa.or_(RETRAINS.c.release.is_(None), RETRAINS.c.release != release)
        ended = RETRAINS.c.verdict.in_(("pass", "fail", "error"))
        query = sa.select(RETRAINS).where(ended, others, RETRAINS.c.started_at >= since).order_by(RETRAINS.c.id.desc())
        with self._store.reading() as connection:
            row = connection.execute(query.limit(1)).first()
        if row is None:
            return None
        return Failed(row.ended_at, 0 if row.verdict == "error" else row.labels)

    def _note(self, result: Document | None, error: str, now: float) -> None:
        verdict = result.verdict if result else "error"
        detail = result.reason if result else error
        _LOG.info("the retrain ended: %s, %s", verdict, detail)
        row = {"ended_at": now, "verdict": verdict, "detail": detail, "release": result.release if result else None}
        decision = _decision(result, detail, self._judged(result))
        with self._store.writing() as connection:
            connection.execute(sa.update(RETRAINS).where(RETRAINS.c.id == self._id).values(row))
            signed_at = connection.scalar(sa.select(RELEASES.c.created_at).where(RELEASES.c.name == row["release"]))
            # The challenger won when its release was signed, which is before its rollout began and the child ended.
            decide(connection, decision, now if signed_at is None else signed_at - BEFORE_S)
            if verdict == "pass":
                close_alarm(connection, "retrain", None, now)
            else:
                title = "The challenger did not win" if result else "The retrain ended with an error"
                open_alarm(connection, Alarm("retrain", "bad", title, detail, MEND), now)

    def _judged(self, result: Document | None) -> Record | None:
        """Return the gate's verdict on this retrain's challenger, `None` where there was nothing to beat or it never came so far."""
        if result is None or result.champion is None or result.challenger is None:
            return None
        about, judged = (GATE, result.challenger.model), None
        with contextlib.suppress(EdgemlError):  # a damaged ledger; that a retrain ended is noted all the same
            for found in ledger.read(self._project.ledger):
                if (found.gate, found.subject) == about and found.at >= self._began:
                    judged = found
        return judged

    @property
    def _output(self) -> Path:
        return self._project.fleet_folder / "retrain.json"

    @property
    def _log(self) -> Path:
        return self._project.fleet_folder / "retrain.log"


def _decision(result: Document | None, detail: str, judged: Record | None) -> Decision:
    if result is None:
        return Decision("challenger", "bad", "The retrain ended with an error", detail, "no challenger was made")
    won = result.verdict == "pass"
    title = f"The challenger won and is {result.release}" if won else "The challenger did not win"
    evidence = judged.evidence if judged else None
    return Decision("challenger", "ok" if won else "bad", title, _versus(result, judged), detail, evidence=evidence)


def _versus(result: Document, judged: Record | None) -> str:
    """Return the gain on fresh labels, which decides, then both sides' accuracy on the test split, the worst of their targets.

    Nothing is said where nothing was measured. A challenger that won may be a little worse on the test split.
    """
    sides = {"challenger": _worst(result.challenger), "champion": _worst(result.champion)}
    measured = ", ".join(f"{side} {percent(share)}" for side, share in sides.items() if share is not None)
    gain = [f"{judged.value} on fresh labels"] if judged else []
    return "; ".join([*gain, *([f"test split: {measured}"] if measured else [])])


def _worst(contender: Contender | None) -> float | None:
    measured = [share for share in contender.accuracies.values() if share is not None] if contender else []
    return min(measured, default=None)


def _read(file: Path) -> Document | None:
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Document)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.schema == SCHEMA else None


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
    return lines[-1] if lines else "it said nothing"
