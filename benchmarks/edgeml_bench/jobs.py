"""Timing jobs: what is asked of a worker, what it says, and how one is run in a fresh process.

host -> worker   Job                          one JSON document on standard input
worker -> host   Advanced*, Round*, then      JSON, one a line, on standard output
                 Finished or Refused

A fresh process, because what ran before (memory handed back, threads left, a hot cache) would show in the figures; and
because a runtime that crashes must not take the caller with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final, Union

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_bench.conditions import Conditions
from edgeml_bench.machines import Machine
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors

LEAST_LOADS: Final = 6  # what a signed-rank interval of 95 % needs
GIVE_UP_AFTER: Final = 2.0  # times a job's seconds, plus `LOADING_S`; then loads are given up, down to the least
LOADING_S: Final = 5.0  # what loading and warming up may take besides
MOST_TALK_BYTES: Final = 4096


class Entrant(msgspec.Struct, frozen=True):
    """An artifact that is timed, and how its runtime runs."""

    artifact: str
    settings: Settings


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does: rounds, each of which loads every entrant anew and times them in turns.

    Args:
        entrants: What is timed; all of one target.
        loads: Rounds.
        least_loads: Rounds below which loading is never given up.
        seconds: For timing, over all rounds and entrants.
        least_inferences: Of each entrant over all rounds, whatever they take.
        inputs: An NPZ with an array an input; random values where it is empty.
        seed: Draws the order of the entrants and random inputs.
    """

    entrants: tuple[Entrant, ...]
    loads: int
    seconds: float
    least_inferences: int
    least_loads: int = LEAST_LOADS
    inputs: str = ""
    seed: int = 0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load of one entrant, timed.

    Args:
        entrant: Its place in the job.
        began_s: Seconds from the job's start.
        load_ms: From the file to a session that can run.
        first_us: The first inference, which some runtimes spend on preparing themselves.
        blocks: Times of single inferences in nanoseconds, a list for each turn, in the order of time.
    """

    entrant: int
    began_s: float
    load_ms: float
    first_us: float
    blocks: list[list[int]]

    @property
    def times_us(self) -> npt.NDArray[np.float64]:
        """All inferences in microseconds, in the order of time."""
        return np.concatenate([np.asarray(b, np.float64) for b in self.blocks]) / 1000

    @property
    def block_medians_us(self) -> npt.NDArray[np.float64]:
        """The median of each block in microseconds; the other entrants' blocks of the same round lie beside them."""
        return np.asarray([np.median(b) for b in self.blocks], np.float64) / 1000


class Advanced(msgspec.Struct, frozen=True, tag="advanced"):
    """So many of the job's rounds are done."""

    rounds: float
    of: int


class Round(msgspec.Struct, frozen=True, tag="round"):
    """A round is done: a load of every entrant, in the order of loading."""

    loads: list[Load]


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The job is done.

    Args:
        machine, conditions: Where, and how it was meanwhile.
        runtime_versions: A version an entrant.
        peak_memory_bytes: The process's highest resident memory up to the end of the first round, or `None` where it
            is not told.
        idle_memory_bytes: The same before the first load, with the runtime's library imported.
    """

    machine: Machine
    conditions: Conditions
    runtime_versions: tuple[str, ...]
    peak_memory_bytes: int | None
    idle_memory_bytes: int | None


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """An error that the user can mend."""

    what: str
    where: str
    mend: str


Event = Union[Advanced, Round, Finished, Refused]  # noqa: UP007 -- evaluated at run time, also on 3.10


class Outcome(msgspec.Struct, frozen=True):
    """What a job found: all loads in the order of time, and how it ended."""

    loads: tuple[Load, ...]
    finished: Finished

    def of(self, entrant: int) -> list[Load]:
        """Return the loads of one entrant, one a round."""
        return [load for load in self.loads if load.entrant == entrant]


def run_job(job: Job, *, inputs: Tensors | None = None, progress: Progress = SILENT) -> Outcome:
    """Run a job in a fresh process.

    Args:
        job: What is timed.
        inputs: An array an input, as the model takes it; random values where there are none.
        progress: Told how far it is.

    Raises:
        EdgemlError: An artifact cannot be loaded or run; its runtime crashed.
        RuntimeError: The worker has a fault of ours.
    """
    with tempfile.TemporaryDirectory(prefix="edgeml-bench-") as folder:
        if inputs is not None:
            job = msgspec.structs.replace(job, inputs=str(Path(folder) / "inputs.npz"))
            _save(Path(job.inputs), inputs)
        loads: list[Load] = []
        for event in _events(job):
            if isinstance(event, Advanced):
                progress.advance(event.rounds, event.of, f"load {min(int(event.rounds) + 1, event.of)} of {event.of}")
            elif isinstance(event, Round):
                loads += event.loads
            elif isinstance(event, Refused):
                raise EdgemlError(event.what, where=event.where, mend=event.mend)
            else:
                return Outcome(tuple(loads), event)
    raise RuntimeError("the worker ended without a word")


def _events(job: Job) -> Iterator[Event]:
    """Yield what a fresh worker says, and see to its end whatever happens here."""
    command = [sys.executable, "-m", "edgeml_bench.worker"]
    # The user's folder must not shadow a module (a `statistics.py` beside the model); read by 3.11 and later.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with (
        tempfile.TemporaryFile() as talk,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, env=environment
        ) as worker,
    ):
        try:
            assert worker.stdin is not None and worker.stdout is not None  # both are pipes
            try:
                worker.stdin.write(msgspec.json.encode(job))
                worker.stdin.close()
            except BrokenPipeError:  # it died before it read; its exit status tells more
                pass
            for line in worker.stdout:
                yield _DECODER.decode(line)
            if worker.wait():
                raise _crash(worker.returncode, [e.artifact for e in job.entrants], talk)
        finally:
            worker.kill()


def _save(path: Path, inputs: Tensors) -> None:
    """Write arrays as an NPZ; `numpy.savez` takes names as keywords and would stumble over an input called `file`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in inputs.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


_DECODER: Final = msgspec.json.Decoder(Event)


def _crash(status: int, artifacts: Sequence[str], talk: IO[bytes]) -> Exception:
    """Return the error for a worker that ended with `status`: a signal is the runtime's fault, the rest is ours."""
    if status < 0:
        name = signal.Signals(-status).name
        mend = "free some memory" if name == "SIGKILL" else "check that the file is whole and made for this runtime"
        return EdgemlError(f"the runtime crashed ({name})", where=" or ".join(artifacts), mend=mend)
    talk.seek(max(talk.seek(0, os.SEEK_END) - MOST_TALK_BYTES, 0))
    return RuntimeError(f"the worker failed:\n{talk.read().decode(errors='replace')}")
