"""Which of several artifacts is faster, and by how much: all timed in turns in one fresh process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from edgeml_bench.jobs import Entrant, Job, Load, run_job
from edgeml_bench.statistics import quantiles, ratio_interval
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors

LOADS: Final = 10
LEAST_PER_LOAD: Final = 6


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one artifact is, and how it compares with the first.

    Args:
        p50_us, p90_us, p99_us: Quantiles over all inferences.
        ratio, ratio_low, ratio_high: Its p50 over the first's, from pairs of loads, with the 95 % interval; 1 for the first.
        load_ms: The median load.
        loads, inferences: What the figures rest on.
        medians_us: The median of each load, cleared of disturbance that met the first too (`paired_medians_us`), in the
            order of rounds: any two entrants' make pairs for `statistics.ratio_interval`.
        notes: What disturbed the machine meanwhile, for people; the same for all.
    """

    p50_us: float
    p90_us: float
    p99_us: float
    ratio: float
    ratio_low: float
    ratio_high: float
    load_ms: float
    loads: int
    inferences: int
    medians_us: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def race(
    artifacts: Sequence[Path],
    settings: Settings,
    *,
    seconds: float = 6.0,
    loads: int = LOADS,
    inputs: Tensors | None = None,
    progress: Progress = SILENT,
) -> list[Timing]:
    """Time artifacts of one target in turns, each loaded anew several times; return a timing for each, in their order.

    Args:
        artifacts: Files of the target's runtime; the first is what the others are compared with.
        settings: The target's.
        seconds: For timing, of all together.
        loads: How often each is loaded, `jobs.LEAST_LOADS` or more; the fewer, the wider the intervals.
        inputs: One input of each name as the model takes it; random values where there is none.
        progress: Told how far it is (`advance` only: the step is the caller's).

    Raises:
        EdgemlError: An artifact cannot be loaded or run.

    Example:
        >>> race([Path("m.float32.onnx"), Path("m.int8.onnx")], settings)[1].ratio  # doctest: +SKIP
        0.57
    """
    job = Job(
        entrants=tuple(Entrant(str(a), settings) for a in artifacts),
        loads=loads,
        seconds=seconds,
        least_inferences=loads * LEAST_PER_LOAD,
    )
    outcome = run_job(job, inputs=inputs, progress=progress)
    notes = tuple(outcome.finished.conditions.notes())
    first = outcome.of(0)
    return [_timing(outcome.of(i), first, notes) for i in range(len(artifacts))]


def medians_us(loads: Sequence[Load]) -> list[float]:
    """Return the median time of one inference of each load, in microseconds."""
    return [float(np.median(load.times_us)) for load in loads]


def paired_medians_us(loads: Sequence[Load], first: Sequence[Load]) -> list[float]:
    """Return for each load the first's median times the ratio to it, in microseconds; `loads[i]` was timed beside `first[i]`.

    The ratio is the median over neighbouring blocks, one of each, of the ratio of their medians: what disturbed both
    for longer than a block cancels out. On twenty comparisons of two copies of one file that halved the interval.
    """
    return [
        float(np.median(beside.times_us) * np.median(load.block_medians_us / beside.block_medians_us))
        for load, beside in zip(loads, first, strict=True)
    ]


def _timing(loads: Sequence[Load], first: Sequence[Load], notes: tuple[str, ...]) -> Timing:
    times = np.concatenate([load.times_us for load in loads])
    p50, p90, p99 = quantiles(times, [0.5, 0.9, 0.99])
    paired = paired_medians_us(loads, first)
    ratio = ratio_interval(medians_us(first), paired)  # of the first with itself: exactly 1
    return Timing(
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        load_ms=float(np.median([load.load_ms for load in loads])),
        loads=len(loads),
        inferences=len(times),
        medians_us=tuple(paired),
        notes=notes,
    )
