"""Measure what calibration costs beside running the float model alone: wall time and peak memory, ours and the peers'.

Usage: python -m peers.calibration [--samples 300 1000] [--batch 1] [--threads 2] [--rounds 3] [--only NAME ...]

The network has ResNet-50's shape and size (resnet50.py), every sample is other noise. Each run is a process of its own, and
float and ours take turns, so that a ratio compares neighbours in time. Wall time counts from the file to the result: read,
prepare, load, run, count. Processor time moves less on a machine that others use, but what ONNX Runtime's threads spend on
waiting for each other counts in it. Ours runs one sample at a time whatever --batch says, as many side by side as --threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SHAPE: Final = (3, 224, 224)
SHIFT: Final = 1009  # values by which one sample's window on the noise lies beside the next one's
FLOAT, OURS = "float model alone", "edgeml, every observer"
MIN_MAX, PERCENTILE, ENTROPY = "ONNX Runtime MinMax", "ONNX Runtime Percentile", "ONNX Runtime Entropy"
NNCF: Final = "NNCF on ONNX, with its quantization"
RESULT: Final = "calibration.json"
NOTES: Final = (
    "ONNX Runtime's Percentile and Entropy hold all activations of all samples, so they get few; their ratios are of times a",
    "sample, their memory is that of the few. NNCF's calibration cannot be had without its quantization and bias correction.",
)

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """What one process does."""

    name: str
    model: str
    samples: int
    batch: int
    threads: int


@dataclass(frozen=True)
class Cost:
    """What it took: seconds for all samples, seconds of all cores, and the most memory at any time."""

    samples: int
    wall_s: float
    processor_s: float
    peak_mb: float


def noise(count: int) -> Samples:
    """Return samples (count, 3, 224, 224) that are windows on one stretch of noise: they take no memory of their own."""
    size = int(np.prod(SHAPE))
    stretch = np.random.default_rng(0).standard_normal(size + count * SHIFT).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(stretch, size)[: count * SHIFT : SHIFT].reshape(count, *SHAPE)


def run_float(job: Job, samples: Samples) -> None:
    """Run the float model, in batches."""
    session = _session(job.model, job.threads)
    for first in range(0, job.samples, job.batch):
        session.run(None, {"x": _images(samples, first, job.batch)})


def run_ours(job: Job, samples: Samples) -> None:
    """Calibrate as `edgeml compress` does."""
    from edgeml_compress.calibration import calibrate
    from edgeml_compress.preparation import prepare
    from edgeml_targets.models import read_model

    path = Path(job.model)
    calibrate(prepare(read_model(path), where=str(path)).model, {"x": samples}, threads=job.threads)


def run_onnxruntime(job: Job, samples: Samples) -> None:
    """Calibrate with ONNX Runtime's own calibrator, as `quantize_static` does."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

    method = {MIN_MAX: "MinMax", PERCENTILE: "Percentile", ENTROPY: "Entropy"}[job.name]
    with tempfile.TemporaryDirectory() as folder:
        augmented = str(Path(folder) / "augmented.onnx")
        calibrator = create_calibrator(
            job.model, augmented_model_path=augmented, calibrate_method=CalibrationMethod[method]
        )
        calibrator.infer_session = _session(augmented, job.threads)
        calibrator.collect_data(_Reader(samples, job.batch))
        calibrator.compute_data()


def run_nncf(job: Job, samples: Samples) -> None:
    """Quantize with NNCF's default, on ONNX."""
    import nncf
    import onnx

    feeds = [{"x": _images(samples, i, 1)} for i in range(job.samples)]
    nncf.quantize(onnx.load(job.model), nncf.Dataset(feeds), subset_size=job.samples)


RUNS: Final[dict[str, Callable[[Job, Samples], None]]] = {
    FLOAT: run_float,
    OURS: run_ours,
    MIN_MAX: run_onnxruntime,
    PERCENTILE: run_onnxruntime,
    ENTROPY: run_onnxruntime,
    NNCF: run_nncf,
}


class _Reader:
    """Hands batches to ONNX Runtime's calibrator, `None` at the end."""

    def __init__(self, samples: Samples, batch: int) -> None:
        self._feeds: Iterator[dict[str, Samples]] = (
            {"x": _images(samples, first, batch)} for first in range(0, len(samples), batch)
        )

    def get_next(self) -> dict[str, Samples] | None:
        """Return the next batch."""
        return next(self._feeds, None)


def _images(samples: Samples, first: int, count: int) -> Samples:
    return np.ascontiguousarray(samples[first : first + count])


def _session(path: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _peak_mb() -> float:
    """Return the most memory that this process held: not `getrusage`, which counts what its parent held before it began."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def child(job: Job) -> None:
    """Do a job and print its cost."""
    samples = noise(job.samples)
    began, began_processor = time.perf_counter(), time.process_time()
    RUNS[job.name](job, samples)
    wall, processor = time.perf_counter() - began, time.process_time() - began_processor
    print(json.dumps(asdict(Cost(job.samples, wall, processor, _peak_mb()))))


def measured(job: Job, python: str) -> Cost | None:
    """Return what a job costs in a process of its own; `None` when it failed, which is told."""
    command = [python, __file__, "--child", json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"{job.name}: {(done.stderr.strip() or 'killed').splitlines()[-1]}", file=sys.stderr)
        return None
    cost = Cost(**json.loads(done.stdout.splitlines()[-1]))
    print(f"{job.name}, {job.samples} samples: {cost.wall_s:.1f} s, {cost.peak_mb:.0f} MB", file=sys.stderr, flush=True)
    return cost


def jobs(asked: argparse.Namespace, model: str) -> Iterator[Job]:
    """Yield what is run, in order: float and ours in turns for each number of samples, the peers once, in between."""
    for samples in asked.samples:
        for turn in range(asked.rounds):
            for name in asked.only:
                if name in (FLOAT, OURS) or (turn == 0 and samples == asked.samples[0]):
                    count = min(asked.peer_samples, samples) if name in (PERCENTILE, ENTROPY) else samples
                    yield Job(name, model, count, asked.batch, asked.threads)


def rows(costs: Sequence[tuple[str, Cost]]) -> Iterator[tuple[str, Cost, Cost, int]]:
    """Yield each name and number of samples with its medians, the medians of its ratios to float's runs, and its runs.

    A run is compared with the float run before it; where that had more samples, times are scaled to as many.
    """
    last: Cost | None = None
    grouped: dict[tuple[str, int], list[tuple[Cost, Cost]]] = {}
    for name, cost in costs:
        last = cost if name == FLOAT or last is None else last
        grouped.setdefault((name, cost.samples), []).append((cost, last))
    for (name, samples), pairs in grouped.items():
        scale = pairs[0][1].samples / samples
        wall, wall_ratio = _medians([(c.wall_s, scale * c.wall_s / b.wall_s) for c, b in pairs])
        processor, ratio = _medians([(c.processor_s, scale * c.processor_s / b.processor_s) for c, b in pairs])
        peak, float_peak = max(c.peak_mb for c, _ in pairs), max(b.peak_mb for _, b in pairs)
        cost, ratios = Cost(samples, wall, processor, peak), Cost(samples, wall_ratio, ratio, peak / float_peak)
        yield name, cost, ratios, len(pairs)


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


def section(folder: Path) -> str:
    """Return what `main` kept in `folder` as a chapter for RESULTS.md; empty when it kept nothing."""
    kept = folder / RESULT
    return _chapter(json.loads(kept.read_text())) if kept.is_file() else ""


def _chapter(kept: dict[str, Any]) -> str:
    costs = [(name, Cost(**cost)) for name, cost in kept["costs"]]
    lines = [
        "## Calibration",
        "",
        f"A network of ResNet-50's size, {kept['threads']} threads, batch {kept['batch']} (ours: one sample at a time), "
        f"each run a process of its own. Medians; times beside the float run's, of the run just before. {kept['machine']}",
        "",
        "| | samples | runs | wall s | processor s | peak MB | wall | processor | memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, cost, ratio, runs in rows(costs):
        lines.append(
            f"| {name} | {cost.samples:,} | {runs} | {cost.wall_s:.1f} | {cost.processor_s:.1f} | {cost.peak_mb:,.0f} "
            f"| {ratio.wall_s:.2f} | {ratio.processor_s:.2f} | {ratio.peak_mb:.2f} |"
        )
    return "\n".join([*lines, "", *NOTES])


def main() -> None:
    """Run what was asked for, keep it and print the chapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[300, 1000], help="the peers run with the first")
    parser.add_argument("--peer-samples", type=int, default=30, help="of ONNX Runtime's Percentile and Entropy")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of float and ours")
    parser.add_argument("--only", nargs="*", choices=RUNS, default=list(RUNS))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / ".peers")
    parser.add_argument("--kept", action="store_true", help="measure nothing where there is a result")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(Job(**json.loads(asked.child)))
        return
    results = asked.folder / "results"
    if not (asked.kept and section(results)):
        _measure(asked, results / RESULT)
    print(section(results))


def _measure(asked: argparse.Namespace, kept: Path) -> None:
    import onnx_ir as ir

    from edgeml_bench import machine
    from edgeml_targets.contract.files import write_atomic
    from peers.resnet50 import resnet50
    from peers.venvs import venv_python

    here = machine()
    told = f"Measured on {here.cpu}, {here.cores} cores, load {os.getloadavg()[2]:.1f} before."
    found: list[tuple[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        ir.save(resnet50(), path)
        for job in jobs(asked, str(path)):
            python = venv_python("nncf", asked.folder) if job.name == NNCF else sys.executable
            if (cost := measured(job, str(python))) is not None:
                found.append((job.name, asdict(cost)))
    document = {"batch": asked.batch, "threads": asked.threads, "machine": told, "costs": found}
    write_atomic(kept, json.dumps(document).encode())


if __name__ == "__main__":
    main()
