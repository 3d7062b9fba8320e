"""What serves: the engine that answers and the window its answers are counted in. Both change together, in one moment.

Any thread may call it. An inference waits for the one before it, never for the disk: a window is written while the next
one is already being counted.
"""

from __future__ import annotations

import platform
import threading
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from edgeml_agent import AGENT_VERSION
from edgeml_agent.identity import Identity
from edgeml_agent.infer import Answer, Engine
from edgeml_agent.messages import Report, Window
from edgeml_agent.outbox import Outbox
from edgeml_agent.samples import read_sample
from edgeml_agent.vitals import memory_bytes, temperature_c
from edgeml_agent.windows import Counts, OpenWindow
from edgeml_targets.contract.errors import EdgemlError

UNNUMBERED: Final = 0  # the outbox gives a message its boot and sequence


class Note(msgspec.Struct, frozen=True):
    """Something to report: one of `Report`'s events, one sentence with figures, the release where it is not the one that runs."""

    event: str
    detail: str
    offered: str = ""


class Answered(msgspec.Struct, frozen=True):
    """Answers in the order of the samples, and the release and target that gave them."""

    answers: list[Answer]
    release: str
    target: str


class Health(msgspec.Struct, frozen=True):
    """How the agent is: what runs, and how many messages the server has not yet named as stored."""

    device: str
    release: str
    target: str
    waiting: int
    agent: str = AGENT_VERSION


@dataclass
class _Served:
    engine: Engine
    window: OpenWindow


class Serving:
    """Answers samples, counts what it saw, and changes to another engine without missing a sample.

    Args:
        identity: Whose device this is.
        engine: What answers first; it is closed when another takes its place, or by `close`.
        outbox: Where windows and reports go.
    """

    def __init__(self, identity: Identity, engine: Engine, outbox: Outbox) -> None:
        self._identity, self._outbox = identity, outbox
        self._now = _Served(engine, OpenWindow(engine.bundle.manifest.reference))
        self._one_inference = threading.Lock()  # guards `_now`
        self._closed = False  # guarded by `_one_inference`
        self._one_closing = threading.Lock()  # taken before the other: a window closes, or the engine changes

    @property
    def release(self) -> str:
        """The release that answers now."""
        return self._now.engine.release

    def answer(self, content: bytes, *, where: str) -> Answered:
        """Answer the sample or the stack of samples in `content`, see `read_sample` and `split_stack`.

        Raises:
            EdgemlError: It is malformed or does not fit the model. It is not counted: `refuse` does that, once whoever
                brought it has given it up.
        """
        sample = read_sample(content, where=where)
        with self._one_inference:
            if self._closed:
                raise EdgemlError("the agent stops", where=where, mend="send it again when it runs")
            engine = self._now.engine
            rows = engine.answer(sample, where=where)
            self._now.window.add(rows)
        return Answered(engine.answers(rows), engine.release, self._identity.target)

    def refuse(self) -> None:
        """Count an input that was refused."""
        with self._one_inference:
            self._now.window.refuse()

    def close_window(self) -> None:
        """Put the open window into the outbox, also an empty one, as a sign of life, and open the next.

        Raises:
            EdgemlError: It could not be written; then the open window speaks for its span, too, and nothing is lost.
        """
        with self._one_closing:
            with self._one_inference:
                closed = self._now.window
                self._now.window = OpenWindow(closed.reference)
            counts = closed.counts()
            try:
                self._outbox.put(self._draft(counts, closed))
            except EdgemlError:
                with self._one_inference:
                    self._now.window.take_back(counts, closed.began_at)
                raise

    def switch(self, engine: Engine) -> None:
        """Let `engine` answer from the next sample on; what was counted before is written as a window of its own.

        Raises:
            EdgemlError: The window could not be written; then nothing changed.
        """
        with self._one_closing, self._one_inference:
            before = self._now
            self._outbox.put(self._draft(before.window.counts(), before.window))
            self._now = _Served(engine, OpenWindow(engine.bundle.manifest.reference))
            before.engine.close()

    def report(self, note: Note) -> None:
        """Put a report into the outbox.

        Raises:
            EdgemlError: It could not be written.
        """
        self._outbox.put(
            Report(
                device=self._identity.device,
                boot="",
                sequence=UNNUMBERED,
                at=time.time(),
                release=self.release,
                target=self._identity.target,
                event=note.event,
                detail=note.detail,
                offered=note.offered,
                agent=AGENT_VERSION,
                python=platform.python_version(),
                machine=platform.machine(),
            )
        )

    def health(self) -> Health:
        """Return how the agent is."""
        return Health(self._identity.device, self.release, self._identity.target, len(self._outbox))

    def close(self) -> None:
        """Answer no more, close the last window and let go of the engine.

        Raises:
            EdgemlError: The window could not be written.
        """
        with self._one_inference:
            self._closed = True
        try:
            self.close_window()
        finally:
            self._now.engine.close()

    def _draft(self, counts: Counts, window: OpenWindow) -> Window:
        return Window(
            device=self._identity.device,
            boot="",
            sequence=UNNUMBERED,
            began_at=window.began_at,
            ended_at=window.ended_at,
            release=self.release,
            target=self._identity.target,
            answers=counts.answers,
            unknown=counts.unknown,
            errors=counts.errors,
            classes=counts.classes,
            features=counts.features,
            distance=counts.distance,
            confidence=counts.confidence,
            latency_us=counts.latency_us,
            memory_bytes=memory_bytes(),
            temperature_c=temperature_c(),
            waiting=len(self._outbox),
        )
