"""The process that times: `python -m edgeml_bench.worker` reads one `Job` and says `Event`s. See `jobs`.

It imports the contract, the runtimes and numpy, nothing of the host: a device can run it.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from edgeml_bench.conditions import conditions, reading
from edgeml_bench.feeding import random_inputs, shaped_inputs
from edgeml_bench.jobs import GIVE_UP_AFTER, LOADING_S, Advanced, Entrant, Event, Finished, Job, Refused, Round
from edgeml_bench.machines import machine
from edgeml_bench.rounds import Loader, orders, run_round
from edgeml_bench.sensors.memory import peak_bytes, reset_peak, resident_bytes
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import Session, Tensors, find_runtime

Say = Callable[[Event], None]


def main() -> None:
    """Do the job on standard input; say what happens on standard output, and nothing else there."""
    out = _own_output()

    def say(event: Event) -> None:
        out.write(msgspec.json.encode(event) + b"\n")
        out.flush()

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    try:
        say(work(job, say))
    except EdgemlError as error:
        say(Refused(error.what, error.where, error.mend))


def work(job: Job, say: Say) -> Finished:
    """Run all rounds; say each when it is done.

    Raises:
        EdgemlError: An artifact cannot be loaded or run.
    """
    versions = tuple(find_runtime(e.settings.runtime).version() for e in job.entrants)  # imports the libraries
    loaders: list[Loader] = [functools.partial(_load, entrant, job) for entrant in job.entrants]
    idle = resident_bytes()
    reset_peak()
    began, before, peak = time.monotonic(), reading(), None
    patience = GIVE_UP_AFTER * job.seconds + LOADING_S
    for number, order in enumerate(orders(len(job.entrants), job.loads, job.seed)):
        if number >= job.least_loads and time.monotonic() - began > patience:
            break
        say(Advanced(number, job.loads))
        loads = run_round(
            loaders,
            order,
            seconds=job.seconds / job.loads,
            least=-(-job.least_inferences // job.loads),
            since=began,
        )
        say(Round(loads))
        peak = (
            peak or peak_bytes()
        )  # later loads leave holes in the heap that a device, which loads once, does not have
    here = machine()
    return Finished(
        machine=here,
        conditions=conditions(before, reading(), cores=here.cores),
        runtime_versions=versions,
        peak_memory_bytes=peak,
        idle_memory_bytes=idle,
    )


def _load(entrant: Entrant, job: Job) -> tuple[Session, Tensors]:
    session = find_runtime(entrant.settings.runtime).load(Path(entrant.artifact), entrant.settings)
    if not job.inputs:
        return session, random_inputs(session.inputs, job.seed, where=entrant.artifact)
    with np.load(job.inputs, allow_pickle=False) as arrays:
        return session, shaped_inputs(session.inputs, dict(arrays), where=entrant.artifact)


def _own_output() -> BinaryIO:
    """Return standard output as ours alone; what runtimes print goes to standard error."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb")


if __name__ == "__main__":
    main()
