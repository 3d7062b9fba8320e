"""Measure what calibration costs beside running the float model alone: wall time and peak memory, ours and the peers'.

Usage: python benchmarks/peers/calibration.py [--samples 300] [--batch 1] [--threads 2] [--rounds 3] [--nncf PYTHON]

The network has ResNet-50's shape and size (resnet50.py), every sample is other noise. Each run is a process of its own, and
rounds take turns, so that a ratio compares neighbours in time. Wall time counts from the file to the result: read, prepare,
load, run, count. Processor time is the robust one of the two on a machine that others use, but what ONNX Runtime's threads
spend on waiting for each other counts in it. Ours runs one sample at a time whatever --batch says, and several side by side.

ONNX Runtime's Percentile and Entropy hold all activations of all samples: they get --peer-samples, and their times are scaled.
NNCF quantizes as well, its calibration cannot be had alone; --nncf names a Python that has it (nncf, onnx, onnxruntime).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SHAPE: Final = (3, 224, 224)
SHIFT: Final = 1009  # values by which one sample's window on the noise lies beside the next one's
FLOAT, OURS = "float model alone", "edgeml, every observer"
MIN_MAX, PERCENTILE, ENTROPY = "ONNX Runtime MinMax", "ONNX Runtime Percentile", "ONNX Runtime Entropy"
NNCF: Final = "NNCF, with its quantization"

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
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def table(found: dict[str, list[Cost]], samples: int) -> Iterator[str]:
    """Yield the lines: medians over rounds, and the median of the ratios to the float run of the same round."""
    yield f"{'':28} {'samples':>7} {'wall s':>8} {'processor s':>11} {'peak MB':>8}   of the float run: wall  processor  memory"
    for name, costs in found.items():
        scale = samples / costs[0].samples
        wall, processor = ([getattr(c, field) * scale for c in costs] for field in ("wall_s", "processor_s"))
        peak = max(c.peak_mb for c in costs)
        pairs = list(zip(costs, found[FLOAT], strict=False))
        ratios = [
            statistics.median(getattr(c, f) * scale / getattr(b, f) for c, b in pairs)
            for f in ("wall_s", "processor_s")
        ]
        memory = peak / max(c.peak_mb for c in found[FLOAT])
        note = "" if scale == 1 else "   times scaled, memory not"
        yield (
            f"{name:28} {costs[0].samples:7} {statistics.median(wall):8.1f} {statistics.median(processor):11.1f} {peak:8.0f}"
            f"   {ratios[0]:22.2f} {ratios[1]:10.2f} {memory:7.2f}{note}"
        )


def main() -> None:
    """Run what was asked for, in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--peer-samples", type=int, default=30, help="of Percentile and Entropy")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of float and ours; the peers run in the first")
    parser.add_argument("--only", nargs="*", choices=RUNS, default=[n for n in RUNS if n != NNCF])
    parser.add_argument("--nncf", metavar="PYTHON", help="a Python that has NNCF")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(Job(**json.loads(asked.child)))
        return
    import onnx_ir as ir
    from resnet50 import resnet50

    names = [FLOAT, *(n for n in asked.only if n != FLOAT), *([NNCF] if asked.nncf else [])]
    found: dict[str, list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        ir.save(resnet50(), path)
        for turn in range(asked.rounds):
            for name in names if turn == 0 else [n for n in names if n in (FLOAT, OURS)]:
                samples = asked.peer_samples if name in (PERCENTILE, ENTROPY) else asked.samples
                job = Job(name, str(path), min(samples, asked.samples), asked.batch, asked.threads)
                cost = measured(job, asked.nncf if name == NNCF else sys.executable)
                if cost is not None:
                    found.setdefault(name, []).append(cost)
                    print(f"round {turn + 1}: {name}: {cost.wall_s:.1f} s", file=sys.stderr, flush=True)
    print(f"{asked.samples} samples, batch {asked.batch}, {asked.threads} threads, {asked.rounds} rounds")
    print("\n".join(table(found, asked.samples)))


if __name__ == "__main__":
    main()
