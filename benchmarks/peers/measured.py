"""What was measured: a JSON line each, appended as soon as it is known, so that an interrupted run goes on where it was.

A line carries the key of what it rests on (hashes of model, samples, quantizer, artifact): one whose key has changed is
passed over, and of two with one key the later holds. RESULTS.md is written from these lines alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar, Union

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_bench import Machine
from edgeml_targets.contract.errors import EdgemlError

LINES: Final = "measured.jsonl"
Flags = npt.NDArray[np.bool_]


class Described(msgspec.Struct, frozen=True, kw_only=True, tag="network"):
    """A network and its data.

    Args:
        network: Its name.
        key: The hash of its file and its samples.
        parameters, size_bytes: Of the float model.
        calibration_samples, test_samples: How many it was calibrated and judged on.
    """

    network: str
    key: str
    parameters: int
    size_bytes: int
    calibration_samples: int
    test_samples: int

    @property
    def who(self) -> str:
        """What tells lines about one network apart."""
        return ""


class Made(msgspec.Struct, frozen=True, kw_only=True, tag="made"):
    """What one quantizer did to one network.

    Args:
        network, quantizer: Whose; a quantizer's is its file's name.
        key: The hash of network, samples and quantizer.
        seconds, cpu_seconds: Of its process, imports included; the second counts its threads and children, not neighbours.
        child_cpu_seconds: Of the processes that it started; ours times its candidates in such.
        peak_bytes: The highest resident memory of its process, or `None` where it is not told.
        version: Of its package.
        artifact: The file; empty when there is none.
        sha256, size_bytes: Of the artifact, all its files.
        error: What it stopped with; empty when it did not.
        details: What it tells itself; ours: which candidate was chosen, and the seconds of each step.
        made_at: ISO 8601, UTC.
    """

    network: str
    quantizer: str
    key: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    child_cpu_seconds: float = 0.0
    peak_bytes: int | None = None
    version: str = ""
    artifact: str = ""
    sha256: str = ""
    size_bytes: int = 0
    error: str = ""
    details: dict[str, Any] = {}
    made_at: str = ""

    @property
    def who(self) -> str:
        """What tells lines about one network apart."""
        return self.quantizer


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """Which test samples an artifact got right.

    Args:
        network, entrant: Whose; an entrant is a quantizer, or `float` and a runtime.
        key: The hash of network, samples and artifact.
        samples: How many were asked.
        size_bytes: Of the artifact, all its files.
        right: A bit a sample, packed, in hex; empty when it failed.
        error: Why it could not be run; empty when it could.
    """

    network: str
    entrant: str
    key: str
    samples: int
    size_bytes: int
    right: str = ""
    error: str = ""

    @property
    def who(self) -> str:
        """What tells lines about one network apart."""
        return self.entrant

    @property
    def flags(self) -> Flags:
        """Whether each sample was answered rightly, (samples,)."""
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.right), np.uint8), count=self.samples)
        return bits.astype(np.bool_)


class Raced(msgspec.Struct, frozen=True, kw_only=True, tag="raced"):
    """All artifacts of one network and runtime, timed in turns in one process.

    Args:
        network, runtime: What was raced where.
        key: The hash of the artifacts.
        threads: Of one inference.
        entrants: Who took part, the float model first.
        p50_us: A median each, over all inferences.
        medians_us: A list each, the medians of its loads; equal places of two lists make a pair.
        notes: What disturbed the machine meanwhile.
        versions: The runtime's version.
    """

    network: str
    runtime: str
    key: str
    threads: int
    entrants: tuple[str, ...]
    p50_us: tuple[float, ...]
    medians_us: tuple[tuple[float, ...], ...]
    notes: tuple[str, ...] = ()
    version: str = ""

    @property
    def who(self) -> str:
        """What tells lines about one network apart."""
        return self.runtime


class Session(msgspec.Struct, frozen=True, kw_only=True, tag="session"):
    """A run of the benchmark: where, when, and of which state of the code."""

    machine: Machine
    began_at: str
    commit: str


Line = Union[Described, Made, Answered, Raced, Session]  # noqa: UP007 -- msgspec evaluates it
Found = TypeVar("Found", Described, Made, Answered, Raced)
_DECODER: Final = msgspec.json.Decoder(Line)


def pack(right: Flags) -> str:
    """Return flags, a bit a sample, in hex."""
    return np.packbits(right).tobytes().hex()


class Journal:
    """The lines of one cache folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LINES
        folder.mkdir(parents=True, exist_ok=True)
        _drop_cut_off_line(self.path)
        self._lines = read_lines(self.path)

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines)

    def add(self, line: Line) -> None:
        """Append a line and bring it to the disk."""
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._lines.append(line)

    def find(self, kind: type[Found], network: str, who: str = "", key: str = "") -> Found | None:
        """Return the latest line of a kind about a network; of that quantizer, entrant or runtime; with that key if one is given."""
        for line in reversed(self._lines):
            if isinstance(line, kind) and (line.network, line.who) == (network, who) and key in ("", line.key):
                return line
        return None

    def sessions(self) -> list[Session]:
        """Return the runs that made these lines, in the order of time."""
        return [line for line in self._lines if isinstance(line, Session)]

    def networks(self) -> list[str]:
        """Return the networks that were measured, in the order in which they were met."""
        return list(dict.fromkeys(line.network for line in self._lines if isinstance(line, Described)))


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a file, none when it is missing.

    Raises:
        EdgemlError: One is damaged.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(_DECODER.decode(line))
        except msgspec.MsgspecError as error:
            raise EdgemlError(f"line {number}: {error}", where=str(path), mend="delete the line") from error
    return found


def _drop_cut_off_line(path: Path) -> None:
    """Shorten a file to its last whole line: a kill while one was written left a part."""
    if path.is_file() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
