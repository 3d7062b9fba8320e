"""Measure one network: quantize by all, ask every artifact the test samples, race all of one runtime. What is known is kept."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgeml_bench import answers, race
from edgeml_bench.accuracy import right_answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.progress import Progress
from edgeml_targets.models import read_model
from edgeml_targets.runtimes import find_runtime
from peers.comparing import FLOAT
from peers.givens import Givens, target_of
from peers.listing import Quantizer, all_quantizers
from peers.measured import Answered, Described, Journal, Made, Raced, pack
from peers.venvs import venv_python

SCRIPT: Final = Path(__file__).parent / "quantize_once.py"
ARTIFACT: Final = "artifact"
MOST_SECONDS: Final = 1800.0  # for one quantizer and one network
RACE_SECONDS: Final = 1.5  # an entrant; a race has as many times this as entrants
LOADS: Final = 10
MOST_ERROR_CHARACTERS: Final = 400


@dataclass(frozen=True)
class Bench:
    """What a run works with.

    Args:
        journal: Where lines are kept.
        folder: The cache folder: environments, artifacts, lines.
        threads: Of one inference in the race.
        progress: Told step by step.
    """

    journal: Journal
    folder: Path
    threads: int
    progress: Progress


def measure(bench: Bench, givens: Givens, quantizers: Sequence[Quantizer]) -> None:
    """Measure a network by these quantizers; what a line of the journal tells already is passed over."""
    name = givens.network.name
    if bench.journal.find(Described, name, key=givens.key) is None:
        bench.journal.add(_described(givens))
    for quantizer in quantizers:
        _make(bench, givens, quantizer)
    for runtime in dict.fromkeys(q.runtime for q in quantizers):
        there = dict(_entrants(bench, givens, runtime))
        for entrant, artifact in there.items():
            _ask(bench, givens, entrant, artifact, runtime)
        _race(bench, givens, runtime, there)


def _described(givens: Givens) -> Described:
    network = givens.network
    weights = read_model(network.model).graph.initializers.values()
    return Described(
        network=network.name,
        key=givens.key,
        parameters=sum(int(w.const_value.size) for w in weights if w.const_value is not None),
        size_bytes=network.model.stat().st_size,
        calibration_samples=len(network.calibration_labels),
        test_samples=len(network.test_labels),
    )


def _make(bench: Bench, givens: Givens, quantizer: Quantizer) -> None:
    network, progress = givens.network.name, bench.progress
    key = f"{givens.key} {quantizer.fingerprint()[:16]}"
    known = bench.journal.find(Made, network, quantizer.name, key)
    if known is not None and (known.seconds if known.error else _is_there(known)):
        return
    progress.begin(f"{network}: {quantizer.name}")
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    fixed: dict[str, Any] = {"network": network, "quantizer": quantizer.name, "key": key, "made_at": now}
    try:
        made = Made(**fixed, **_quantized(bench, givens, quantizer))
    except EdgemlError as error:  # it cannot be installed here, or the runtime's format lacks an operator
        made = Made(**fixed, error=str(error)[:MOST_ERROR_CHARACTERS])
    bench.journal.add(made)
    progress.end(made.error or f"{made.cpu_seconds:.1f} s of CPU", warning=bool(made.error))


def _quantized(bench: Bench, givens: Givens, quantizer: Quantizer) -> dict[str, Any]:
    """Return the fields of `Made` that one process tells."""
    python = venv_python(quantizer.venv, bench.folder)
    given = givens.given(quantizer.runtime, is_ours=quantizer.is_ours)
    folder = (
        givens.folder / quantizer.name
    )  # all that is in it is the artifact: some keep their weights in a second file
    out = folder / f"{ARTIFACT}{quantizer.suffix}"
    told = givens.folder / f"{quantizer.name}.told.json"
    asked = {
        "model": str(given.model),
        "samples": str(given.samples),
        "labels": str(given.labels) if quantizer.is_ours else "",
        "out": str(out),
        "runtime": quantizer.runtime,
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    told.unlink(missing_ok=True)
    job = givens.folder / f"{quantizer.name}.asked.json"
    job.write_text(json.dumps({"quantizer": quantizer.name, "told": str(told), "asked": asked}))
    with (givens.folder / f"{quantizer.name}.log").open("wb") as log:
        began = time.monotonic()
        status = _run([str(python), str(SCRIPT), str(job)], log.fileno())
    if not told.is_file():  # out of memory, out of time
        return {"error": f"its process ended with {status} and without a word", "seconds": time.monotonic() - began}
    found: dict[str, Any] = json.loads(told.read_text())
    if not found["error"] and not out.is_file():
        found["error"] = "it ended without an error and without an artifact"
    if found["error"]:
        return found
    return {**found, "artifact": str(out), "sha256": _hash(out), "size_bytes": _size(out)}


def _run(command: list[str], log: int) -> str:
    """Run a process to its end; return how it ended."""
    try:
        done = subprocess.run(command, stdout=log, stderr=log, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no end after {MOST_SECONDS:.0f} s"
    return f"status {done.returncode}"


def _is_there(made: Made) -> bool:
    """Tell whether an artifact is the one that was made: a run with other samples puts its own in that place."""
    artifact = Path(made.artifact)
    return artifact.is_file() and _hash(artifact) == made.sha256


def _files(artifact: Path) -> list[Path]:
    """Return an artifact's files: a quantizer's has a folder to itself, the float model is one file."""
    return sorted(artifact.parent.iterdir()) if artifact.stem == ARTIFACT else [artifact]


def _hash(artifact: Path) -> str:
    return hashlib.sha256("".join(sha256_of(p) for p in _files(artifact)).encode()).hexdigest()


def _size(artifact: Path) -> int:
    return sum(path.stat().st_size for path in _files(artifact))


def _entrants(bench: Bench, givens: Givens, runtime: str) -> Iterator[tuple[str, Path]]:
    """Yield who can be run on a runtime, the float model first; those too that were made in an earlier run."""
    try:
        yield FLOAT + runtime, givens.floats(runtime)
    except EdgemlError:  # the format lacks an operator: each of its quantizers' lines says which
        return
    for quantizer in all_quantizers():
        made = bench.journal.find(Made, givens.network.name, quantizer.name)
        current = made is not None and not made.error and made.key.startswith(givens.key)
        if made is not None and current and quantizer.runtime == runtime:
            yield quantizer.name, Path(made.artifact)


def _ask(bench: Bench, givens: Givens, entrant: str, artifact: Path, runtime: str) -> None:
    network = givens.network
    key = f"{givens.key} {_hash(artifact)[:16]}"
    if bench.journal.find(Answered, network.name, entrant, key) is not None:
        return
    fixed: dict[str, Any] = {
        "network": network.name,
        "entrant": entrant,
        "key": key,
        "samples": len(network.test_labels),
        "size_bytes": _size(artifact),
    }
    bench.progress.begin(f"{network.name}: {entrant}")
    try:
        found = answers(artifact, target_of(runtime).settings(threads=bench.threads), network.test)
    except EdgemlError as error:  # an artifact that its own runtime does not take is a result
        answered = Answered(**fixed, error=str(error)[:MOST_ERROR_CHARACTERS])
    else:
        answered = Answered(**fixed, right=pack(right_answers(next(iter(found.values())), network.test_labels)))
    bench.journal.add(answered)
    bench.progress.end(answered.error or f"{answered.flags.mean():.2%} right", warning=bool(answered.error))


def _race(bench: Bench, givens: Givens, runtime: str, there: dict[str, Path]) -> None:
    network = givens.network.name
    asked = {e: bench.journal.find(Answered, network, e) for e in there}
    runnable = {e: p for e, p in there.items() if (a := asked[e]) is not None and not a.error}
    hashes = "".join(_hash(path) for path in runnable.values())
    key = f"{givens.key} {hashlib.sha256(f'{hashes} {bench.threads}'.encode()).hexdigest()[:16]}"
    if len(runnable) < 2 or bench.journal.find(Raced, network, runtime, key) is not None:
        return
    bench.progress.begin(f"{network}: race on {runtime}")
    first = {name: array[0] for name, array in givens.network.test.items()}
    timings = race(
        list(runnable.values()),
        target_of(runtime).settings(threads=bench.threads),
        seconds=RACE_SECONDS * len(runnable),
        loads=LOADS,
        inputs=first,
        progress=bench.progress,
    )
    raced = Raced(
        network=network,
        runtime=runtime,
        key=key,
        threads=bench.threads,
        entrants=tuple(runnable),
        p50_us=tuple(t.p50_us for t in timings),
        medians_us=tuple(t.medians_us for t in timings),
        notes=timings[0].notes,
        version=find_runtime(runtime).version(),
    )
    bench.journal.add(raced)
    bench.progress.end(f"{len(runnable)} artifacts")
