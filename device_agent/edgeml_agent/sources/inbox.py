"""The watched folder: `inbox/NAME.npy`, or an image, is answered by `inbox/NAME.json`, once, also over restarts.

A sample counts as answered when its answer is there and carries the sample's own modification time; a sample that was
replaced is answered anew. A file is read once it has stopped changing, so that one half copied is left alone; what then
still cannot be read gets some patience before it is called malformed, since a slow copy pauses, too.

Take a sample away together with its answer. Samples that share a NAME are answered under their whole names each,
`NAME.npy.json`.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity
from edgeml_agent.samples import MOST_SAMPLE_BYTES, SUFFIXES
from edgeml_agent.serving import Serving
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import replacing, told

LOG: Final = logging.getLogger(__name__)
LOOK_S: Final = 0.2  # between two looks; what did not change from one to the next is read
TROUBLE_S: Final = 5.0  # before a folder or disk that refused is looked at again
PATIENCE_S: Final = 3.0  # for a file that cannot be read: so long a copy may pause


class Unreadable(msgspec.Struct, frozen=True):
    """The answer to a sample that is malformed."""

    error: str


@dataclass(frozen=True)
class _Seen:
    """A sample as it was when it last changed."""

    size_bytes: int
    modified_ns: int
    since: float
    tried: bool = False


class Inbox:
    """Watches a folder.

    Args:
        folder: It is made where it is missing.
        serving: What answers.
        patience_s: See `PATIENCE_S`.

    Raises:
        EdgemlError: The folder cannot be made.
    """

    def __init__(self, folder: Path, serving: Serving, *, patience_s: float = PATIENCE_S) -> None:
        self.address, self._folder, self._serving, self._patience_s = str(folder), folder, serving, patience_s
        self._stopping, self._idle = threading.Event(), threading.Lock()
        self._waiting: dict[str, _Seen] = {}
        self._unwritten: dict[tuple[str, int], bytes] = {}  # at most one: a disk that refuses ends the look
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Look into the folder again and again until `stop`."""
        pause_s = LOOK_S
        while not self._stopping.wait(pause_s):
            pause_s = LOOK_S
            with self._idle:
                try:
                    self.look()
                except (OSError, EdgemlError) as error:  # a full disk, a folder taken away: a later look may do
                    LOG.warning("%s", error)
                    pause_s = TROUBLE_S

    def stop(self) -> None:
        """Look no more; return once the present sample is answered."""
        self._stopping.set()
        with self._idle:
            pass

    def look(self) -> None:
        """Answer what has stopped changing since the last look.

        Raises:
            OSError: The folder cannot be read.
            EdgemlError: An answer cannot be written.
        """
        now = time.monotonic()
        waiting: dict[str, _Seen] = {}
        for name, answer, status in self._unanswered():
            seen = self._waiting.get(name)
            if seen is None or (seen.size_bytes, seen.modified_ns) != (status.st_size, status.st_mtime_ns):
                waiting[name] = _Seen(status.st_size, status.st_mtime_ns, now)
                continue
            give_up = now - seen.since >= self._patience_s
            if self._stopping.is_set() or (seen.tried and not give_up):
                waiting[name] = seen
            elif not self._answer(name, answer, seen, give_up=give_up):
                waiting[name] = replace(seen, tried=True)
        self._waiting = waiting

    def _unanswered(self) -> list[tuple[str, str, os.stat_result]]:
        """Return the samples without an answer, by name: each with its answer's name and its status."""
        with os.scandir(self._folder) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
        samples = [n for n in sorted(found) if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
        named = Counter(Path(n).stem for n in samples)
        unanswered = []
        for name in samples:
            answer = f"{Path(name).stem if named[Path(name).stem] == 1 else name}.json"
            answered = answer in found and found[answer].st_mtime_ns == found[name].st_mtime_ns
            if stat.S_ISREG(found[name].st_mode) and not answered:
                unanswered.append((name, answer, found[name]))
        return unanswered

    def _answer(self, name: str, answer: str, seen: _Seen, *, give_up: bool) -> bool:
        """Write the answer to a sample; `False` when it cannot be read and may still be growing."""
        key = (name, seen.modified_ns)
        content = self._unwritten.get(key)
        if content is None and (content := self._say(name, seen, give_up=give_up)) is None:
            return not (self._folder / name).exists()
        self._unwritten = {
            key: content
        }  # a sample is inferred and counted once, also when its answer cannot be written
        with replacing(self._folder / answer) as file:
            file.write(content)
            file.flush()
            os.utime(file.fileno(), ns=(seen.modified_ns, seen.modified_ns))
        self._unwritten = {}
        return True

    def _say(self, name: str, seen: _Seen, *, give_up: bool) -> bytes | None:
        """Return what there is to say of a sample, JSON; `None` when it may still be growing or was taken away again."""
        try:
            if seen.size_bytes > MOST_SAMPLE_BYTES:
                raise EdgemlError(f"more than {MOST_SAMPLE_BYTES} bytes", where=name, mend="split it")
            return msgspec.json.encode(self._serving.answer((self._folder / name).read_bytes(), where=name))
        except FileNotFoundError:
            return None
        except EdgemlError as error:
            if not give_up:
                return None
            self._serving.refuse()
            return msgspec.json.encode(Unreadable(str(error)))


def _open(folder: DeviceFolder, _identity: Identity, serving: Serving) -> Inbox:
    return Inbox(folder.inbox, serving)


SOURCE = _open
