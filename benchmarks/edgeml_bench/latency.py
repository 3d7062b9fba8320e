"""How fast an artifact is on a target: latency, throughput, load time, memory, with where and how it was measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edgeml_bench.conditions import Conditions
from edgeml_bench.here import obstacle
from edgeml_bench.jobs import Entrant, Job, Outcome, run_job
from edgeml_bench.machines import Machine
from edgeml_bench.racing import medians_us
from edgeml_bench.statistics import location_interval, quantiles
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors

if TYPE_CHECKING:
    from edgeml_targets.target import Target

SCHEMA: Final = "edgeml.bench/1"
LOADS: Final = 8
SECONDS: Final = 4.0
LEAST_INFERENCES: Final = 500


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """How fast one artifact is on one target; as JSON it is `edgeml.bench/1`.

    Args:
        model: The file that was asked for.
        exported: The model is ONNX and was exported in float32 for this runtime first, untimed.
        target, runtime, runtime_version, threads, precision, device: How it ran.
        size_bytes, sha256: Of the artifact that was timed.
        loads, inferences: What the figures rest on; the artifact was loaded anew so often.
        p50_us, p90_us, p99_us: Quantiles of one inference (a batch of 1), over all inferences.
        p50_low_us, p50_high_us: Where the p50 of another load of the same file is centred, with 95 % confidence.
        mean_us: The mean, which a few long interruptions can move far.
        throughput_per_s: Inferences a second, one after the other.
        load_ms: From the file to a session that can run, the median load.
        first_us: The first inference after it, the median load.
        peak_memory_bytes: The highest resident memory of the process, interpreter and runtime included, or `None`.
        added_memory_bytes: That, less what it was before the artifact was loaded, or `None`.
        machine, conditions: Where, and how it was meanwhile.
        notes: What bears on the figures, sentences for people.
    """

    schema: str = SCHEMA
    model: str
    exported: bool
    target: str
    runtime: str
    runtime_version: str
    threads: int
    precision: str
    device: str
    size_bytes: int
    sha256: str
    loads: int
    inferences: int
    p50_us: float
    p90_us: float
    p99_us: float
    p50_low_us: float
    p50_high_us: float
    mean_us: float
    throughput_per_s: float
    load_ms: float
    first_us: float
    peak_memory_bytes: int | None
    added_memory_bytes: int | None
    machine: Machine
    conditions: Conditions
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Return the measurement as `edgeml.bench/1`."""
        return msgspec.json.encode(self)


def measure(
    artifact: Path,
    target: Target,
    *,
    threads: int | None = None,
    inputs: Tensors | None = None,
    progress: Progress = SILENT,
) -> Measurement:
    """Time an artifact on a target of this machine, in a fresh process, loaded anew several times.

    Args:
        artifact: An artifact of the target's runtime, or an ONNX file, which is exported in float32 first where needed.
        target: Where it runs.
        threads: Threads of one inference; the target's where it is `None`.
        inputs: One input of each name as the model takes it; random values where there is none.
        progress: Told how far it is.

    Raises:
        EdgemlError: The target is not here; the file cannot be read, exported, loaded or run.

    Example:
        >>> measure(Path("kws.onnx"), find_target("x86_64-onnxruntime")).p50_us  # doctest: +SKIP
        133.0
    """
    settings = target.settings(threads=threads)
    with tempfile.TemporaryDirectory(prefix="edgeml-bench-") as folder:
        progress.begin("Timed")
        runnable = runnable_here(artifact, target, Path(folder))
        job = Job(
            entrants=(Entrant(str(runnable), settings),),
            loads=LOADS,
            seconds=SECONDS,
            least_inferences=LEAST_INFERENCES,
        )
        outcome = run_job(job, inputs=inputs, progress=progress)
        found = _measurement(artifact, runnable, target, settings, outcome)
    progress.end(f"{found.inferences:,} inferences over {found.loads} loads")
    return found


def runnable_here(model: Path, target: Target, folder: Path) -> Path:
    """Return the file that the target's runtime loads for `model`; where it has to be exported, that is written to `folder`.

    Raises:
        EdgemlError: The target is not here, or the model cannot be read or exported.
    """
    from edgeml_targets.models import float_artifact

    if problem := obstacle(target):
        raise problem
    return float_artifact(model, target, folder)


def added_memory_bytes(outcome: Outcome) -> int | None:
    """Return by how much loading and running raised the process's peak memory, or `None` where it is not told."""
    peak, idle = outcome.finished.peak_memory_bytes, outcome.finished.idle_memory_bytes
    return None if peak is None or idle is None else max(peak - idle, 0)


def _measurement(model: Path, runnable: Path, target: Target, settings: Settings, outcome: Outcome) -> Measurement:
    from edgeml_targets.models import digest_of, size_of

    loads, finished = outcome.of(0), outcome.finished
    times = np.concatenate([load.times_us for load in loads])
    p50, p90, p99 = quantiles(times, [0.5, 0.9, 0.99])
    typical = location_interval(medians_us(loads))
    notes = finished.conditions.notes()
    if settings.threads > finished.machine.cores:
        notes.insert(0, f"{settings.threads} threads share {finished.machine.cores} cores here.")
    if runnable != model:
        notes.insert(0, f"The ONNX file was exported in float32 for {target.runtime} first.")
    return Measurement(
        model=str(model),
        exported=runnable != model,
        target=target.name,
        runtime=target.runtime,
        runtime_version=finished.runtime_versions[0],
        threads=settings.threads,
        precision=settings.precision,
        device=settings.device,
        size_bytes=size_of(runnable),
        sha256=digest_of(runnable),
        loads=len(loads),
        inferences=len(times),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p50_low_us=typical.low,
        p50_high_us=typical.high,
        mean_us=float(times.mean()),
        throughput_per_s=1e6 / float(times.mean()),
        load_ms=float(np.median([load.load_ms for load in loads])),
        first_us=float(np.median([load.first_us for load in loads])),
        peak_memory_bytes=finished.peak_memory_bytes,
        added_memory_bytes=added_memory_bytes(outcome),
        machine=finished.machine,
        conditions=finished.conditions,
        notes=tuple(notes),
    )
