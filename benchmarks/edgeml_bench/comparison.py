"""Is B faster than A? Both are timed in turns in one fresh process, each loaded anew several times.

The load is a random effect: two loads of one file differ by up to 1 % by their place in memory, and no number of
inferences within a load averages that out. So a load of A and one of B, timed side by side, make one pair; the pairs'
ratios (`racing.paired_medians_us`) give the estimate and its interval (`statistics.ratio_interval`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edgeml_bench.conditions import Conditions
from edgeml_bench.jobs import Entrant, Job, Load, Outcome, run_job
from edgeml_bench.latency import added_memory_bytes, runnable_here
from edgeml_bench.machines import Machine
from edgeml_bench.racing import medians_us, paired_medians_us
from edgeml_bench.statistics import LEAST_PAIRS, Estimate, quantiles, ratio_interval
from edgeml_targets.contract.histogram import Histogram, histogram
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors

if TYPE_CHECKING:
    from edgeml_targets.target import Target

SCHEMA: Final = "edgeml.compare/1"
LOADS: Final = 12
SECONDS: Final = 6.0
LEAST_PER_LOAD: Final = 10
LEAST_DIFFERENCE: Final = 0.01  # what two copies of one file may differ by; less cannot be put down to the model
HISTOGRAM_BINS: Final = 256
FAR_FROM_P99, FAR_FROM_P50 = 1.5, 4.0  # times; what is slower is counted, and coarsens no histogram


class Verdict(str, Enum):
    """B against A."""

    FASTER = "faster"
    SLOWER = "slower"
    NO_DIFFERENCE = "no difference"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A or B by itself.

    Args:
        model: The file that was asked for.
        size_bytes, sha256: Of the artifact that was timed.
        inferences: What the figures rest on.
        p50_us, p90_us, p99_us, throughput_per_s: Over all inferences.
        load_ms, first_us: Of the median load: from file to session, and the first inference after it.
        added_memory_bytes: By how much it raised the memory of a process of its own, or `None`.
        load_p50_us, load_began_s: The p50 of each load, and when it was loaded, seconds from the start.
        latency_us: The histogram of all inferences but the `slowest`, those far from the p99 or the p50.
    """

    model: str
    size_bytes: int
    sha256: str
    inferences: int
    p50_us: float
    p90_us: float
    p99_us: float
    throughput_per_s: float
    load_ms: float
    first_us: float
    added_memory_bytes: int | None
    load_p50_us: tuple[float, ...]
    load_began_s: tuple[float, ...]
    latency_us: Histogram
    slowest: int


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both sides, and B's over A's; `None` is what was not measured or has no interval.

    Args:
        name, unit: "p50 latency", "us".
        a, b: The figures.
        ratio, low, high: B over A with the 95 % interval; `low` and `high` are `None` where it was measured once.
        verdict: `lower`, `higher` or `no difference` (B against A); `None` where there is no interval.
    """

    name: str
    unit: str
    a: float | None
    b: float | None
    ratio: float | None
    low: float | None = None
    high: float | None = None
    verdict: str | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """B against A on one target; as JSON it is `edgeml.compare/1`.

    Args:
        a, b: The files that were asked for.
        target, runtime, runtime_version, threads: How they ran.
        ratio, ratio_low, ratio_high: B's p50 over A's, with the 95 % interval.
        verdict: B against A; see `judge`.
        reason: The verdict in one sentence with its figures.
        loads: Pairs of loads that the interval rests on; `pair_ratios` has their ratios in the order of time.
        sides: A and B by themselves.
        measures: What else differs.
        machine, conditions: Where, and how it was meanwhile.
        notes: What bears on the figures, sentences for people.
        command: How to measure it again.
    """

    schema: str = SCHEMA
    a: str
    b: str
    target: str
    runtime: str
    runtime_version: str
    threads: int
    ratio: float
    ratio_low: float
    ratio_high: float
    verdict: Verdict
    reason: str
    loads: int
    pair_ratios: tuple[float, ...]
    sides: tuple[Side, Side]
    measures: tuple[Measure, ...]
    machine: Machine
    conditions: Conditions
    notes: tuple[str, ...]
    command: str

    def to_json(self) -> bytes:
        """Return the comparison as `edgeml.compare/1`."""
        return msgspec.json.encode(self)


def compare(
    a: Path,
    b: Path,
    target: Target,
    *,
    threads: int | None = None,
    inputs: Tensors | None = None,
    progress: Progress = SILENT,
) -> Comparison:
    """Time B against A on a target of this machine, always anew.

    Args:
        a, b: Artifacts of the target's runtime, or ONNX files, which are exported in float32 first where needed.
        target: Where they run.
        threads: Threads of one inference; the target's where it is `None`.
        inputs: One input of each name as the models take it; random values where there is none.
        progress: Told how far it is.

    Raises:
        EdgemlError: The target is not here; a file cannot be read, exported, loaded or run.

    Example:
        >>> compare(Path("m.onnx"), Path("m.int8.onnx"), find_target("x86_64-onnxruntime")).verdict  # doctest: +SKIP
        <Verdict.FASTER: 'faster'>
    """
    settings = target.settings(threads=threads)
    with tempfile.TemporaryDirectory(prefix="edgeml-bench-") as folder:
        progress.begin("Timed")
        files = [runnable_here(model, target, Path(folder) / side) for model, side in ((a, "a"), (b, "b"))]
        footprints = [_footprint(file, settings, inputs) for file in files]
        job = Job(
            entrants=tuple(Entrant(str(file), settings) for file in files),
            loads=LOADS,
            seconds=SECONDS,
            least_inferences=LOADS * LEAST_PER_LOAD,
        )
        outcome = run_job(job, inputs=inputs, progress=progress)
        sides = [_side(m, f, outcome.of(i), footprints[i]) for i, (m, f) in enumerate(zip((a, b), files, strict=True))]
    progress.end(f"{len(outcome.of(0))} loads of each, {sides[0].inferences:,} and {sides[1].inferences:,} inferences")
    return _comparison((sides[0], sides[1]), outcome, settings, _command(a, b, target.name, threads))


def _comparison(sides: tuple[Side, Side], outcome: Outcome, settings: Settings, command: str) -> Comparison:
    finished, first = outcome.finished, sides[0].load_p50_us
    paired = paired_medians_us(outcome.of(1), outcome.of(0))
    ratio = ratio_interval(first, paired)
    return Comparison(
        a=sides[0].model,
        b=sides[1].model,
        target=settings.target,
        runtime=settings.runtime,
        runtime_version=finished.runtime_versions[0],
        threads=settings.threads,
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        verdict=judge(ratio),
        reason=_reason(ratio),
        loads=len(first),
        pair_ratios=tuple(y / x for x, y in zip(first, paired, strict=True)),
        sides=sides,
        measures=_measures(sides, outcome, ratio),
        machine=finished.machine,
        conditions=finished.conditions,
        notes=tuple(finished.conditions.notes()),
        command=command,
    )


def judge(ratio: Estimate) -> Verdict:
    """Return the verdict on B's p50 over A's: a difference has an interval without 1 and is larger than 1 %.

    Both are asked, since each alone cries wolf: a narrow interval can exclude 1 for two copies of one file that lie in
    different places of memory, and a wide one can be centred anywhere.
    """
    if ratio.high < 1 and ratio.value < 1 / (1 + LEAST_DIFFERENCE):
        return Verdict.FASTER
    if ratio.low > 1 and ratio.value > 1 + LEAST_DIFFERENCE:
        return Verdict.SLOWER
    return Verdict.NO_DIFFERENCE


def _reason(ratio: Estimate) -> str:
    interval = f"ratio {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
    if judge(ratio) is Verdict.FASTER:
        return f"B is {1 / ratio.value:.2f} times faster than A (95 % interval {1 / ratio.high:.2f} to {1 / ratio.low:.2f})."
    if judge(ratio) is Verdict.SLOWER:
        return f"B is {ratio.value:.2f} times slower than A (95 % interval {ratio.low:.2f} to {ratio.high:.2f})."
    if ratio.low <= 1 <= ratio.high:
        return f"No difference found: {interval}."
    return f"No difference found: {interval}; less than 1 % can come from the place in memory alone."


def _footprint(artifact: Path, settings: Settings, inputs: Tensors | None) -> int | None:
    """Return the memory that an artifact adds to a process of its own."""
    job = Job(
        entrants=(Entrant(str(artifact), settings),),
        loads=1,
        least_loads=1,
        seconds=0.0,
        least_inferences=LEAST_PER_LOAD,
    )
    return added_memory_bytes(run_job(job, inputs=inputs))


def _side(model: Path, artifact: Path, loads: Sequence[Load], added_bytes: int | None) -> Side:
    from edgeml_targets.models import digest_of, size_of

    times = np.concatenate([load.times_us for load in loads])
    p50, p90, p99 = quantiles(times, [0.5, 0.9, 0.99])
    drawn = times[times <= min(FAR_FROM_P99 * p99, FAR_FROM_P50 * p50)]
    return Side(
        model=str(model),
        size_bytes=size_of(artifact),
        sha256=digest_of(artifact),
        inferences=len(times),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        throughput_per_s=1e6 / float(times.mean()),
        load_ms=float(np.median([load.load_ms for load in loads])),
        first_us=float(np.median([load.first_us for load in loads])),
        added_memory_bytes=added_bytes,
        load_p50_us=tuple(medians_us(loads)),
        load_began_s=tuple(load.began_s for load in loads),
        latency_us=histogram(drawn, bins=HISTOGRAM_BINS),
        slowest=len(times) - len(drawn),
    )


def _measures(sides: Sequence[Side], outcome: Outcome, p50: Estimate) -> tuple[Measure, ...]:
    a, b = sides
    loads_a, loads_b = outcome.of(0), outcome.of(1)

    def paired(name: str, unit: str, of_side: Callable[[Side], float], of_load: Callable[[Load], float]) -> Measure:
        ratio = ratio_interval([of_load(x) for x in loads_a], [of_load(x) for x in loads_b])
        return _measure(name, unit, (of_side(a), of_side(b)), ratio)

    def balanced(name: str, unit: str, of_side: Callable[[Side], float], of_load: Callable[[Load], float]) -> Measure:
        logs = np.log([[of_load(x) for x in loads] for loads in (loads_a, loads_b)])
        pairs = len(loads_a) // 2  # A is loaded first in one round and B in the next: who comes first, pays more
        means = logs[:, : 2 * pairs].reshape(2, pairs, 2).mean(axis=2)
        if pairs < LEAST_PAIRS:
            return Measure(name=name, unit=unit, a=of_side(a), b=of_side(b), ratio=of_side(b) / of_side(a))
        return _measure(name, unit, (of_side(a), of_side(b)), ratio_interval(*np.exp(means)))

    return (
        _measure("p50 latency", "us", (a.p50_us, b.p50_us), p50),
        paired("p90 latency", "us", lambda s: s.p90_us, lambda x: quantiles(x.times_us, [0.9])[0]),
        paired("p99 latency", "us", lambda s: s.p99_us, lambda x: quantiles(x.times_us, [0.99])[0]),
        paired("throughput", "1/s", lambda s: s.throughput_per_s, lambda x: 1e6 / float(x.times_us.mean())),
        balanced("load time", "ms", lambda s: s.load_ms, lambda x: x.load_ms),
        balanced("first inference", "us", lambda s: s.first_us, lambda x: x.first_us),
        _once("memory added", "bytes", a.added_memory_bytes, b.added_memory_bytes),
        _once("size", "bytes", a.size_bytes, b.size_bytes),
    )


def _measure(name: str, unit: str, figures: tuple[float, float], ratio: Estimate) -> Measure:
    words = {Verdict.FASTER: "lower", Verdict.SLOWER: "higher", Verdict.NO_DIFFERENCE: "no difference"}
    return Measure(
        name=name,
        unit=unit,
        a=figures[0],
        b=figures[1],
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        verdict=words[judge(ratio)],
    )


def _once(name: str, unit: str, a: int | None, b: int | None) -> Measure:
    return Measure(name=name, unit=unit, a=a, b=b, ratio=b / a if a and b is not None else None)


def _command(a: Path, b: Path, target: str, threads: int | None) -> str:
    words = ["edgeml", "bench", "compare", str(a), str(b), "--target", target]
    return " ".join(words + (["--threads", str(threads)] if threads else []))
