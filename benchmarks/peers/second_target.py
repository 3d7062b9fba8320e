"""Measure what a second target costs once a first was compressed for: python -m peers.second_target [TARGET ...] [--samples 300]

The network has ResNet-50's shape and size, every sample is other noise. The targets are compressed for in one process, in
order, as one `edgeml compress` does: the network is read and calibrated once, then each target's way to round is chosen and its
candidates are made. All but the first are compressed for once more, each as in a run of its own, which reads the network and the saved
calibration. Evaluation is timed, too, and told apart: what runs a network to compare its answers with float's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import msgspec
import onnx_ir as ir

from edgeml_bench import machine
from edgeml_compress import source
from edgeml_compress.ladder import trials
from edgeml_compress.ladder.climb import climb
from edgeml_compress.ladder.setting import Ladders
from edgeml_compress.making import make
from edgeml_compress.source import CALIBRATION_FILE, CalibrationData, calibrated, read_source
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.target import Target, find_target
from peers.calibration import noise
from peers.resnet50 import resnet50

TARGETS: Final = ("x86_64-onnxruntime", "x86_64-litert", "x86_64-openvino")
JUDGING: Final = 48  # samples for validation, and as many for evaluation
SAID: Final = """The first target reads and calibrates the network
and tries the ways to round; the others start from its calibration and its way, and try no other where that pays for them, too. "Later"
is a run of its own: it reads the network and the calibration that was saved. All candidates are made and written. Evaluation,
which runs networks to compare answers, stands apart, and candidates are not timed."""
RESULT: Final = "second_target.json"
HEAD: Final = "| | read and calibrate s | choose s | make s | together s | of the first | evaluation s |\n|---|---|---|---|---|---|---|"


class Cost(msgspec.Struct, frozen=True):
    """What one target cost: seconds for what all targets of a run share (the first pays), to choose how to round, to make its
    candidates, and for evaluation."""

    target: str
    shared_s: float
    choose_s: float
    make_s: float
    evaluation_s: float

    @property
    def total_s(self) -> float:
        """All but the evaluation, in seconds."""
        return self.shared_s + self.choose_s + self.make_s


class Kept(msgspec.Struct, frozen=True):
    """What is kept for RESULTS.md."""

    said: str
    costs: list[Cost]


def section(folder: Path) -> str:
    """Return what `main` kept in `folder` as a chapter for RESULTS.md; empty when it kept nothing."""
    if not (folder / RESULT).is_file():
        return ""
    kept = msgspec.json.decode((folder / RESULT).read_bytes(), type=Kept)
    first = kept.costs[0].total_s
    rows = (
        f"| {c.target} | {c.shared_s:.1f} | {c.choose_s:.1f} | {c.make_s:.1f} | {c.total_s:.1f} | {c.total_s / first:.3f} "
        f"| {c.evaluation_s:.1f} |"
        for c in kept.costs
    )
    return "\n".join(["## A second target", "", kept.said, "", HEAD, *rows])


def measure(targets: Sequence[Target], samples: int) -> list[Cost]:
    """Compress for targets in order, but for the judging and the timing at the end; return what each cost."""
    drawn = noise(samples + 2 * JUDGING)
    data = CalibrationData(
        {"x": drawn[:samples]}, {"x": drawn[samples : samples + JUDGING]}, {"x": drawn[samples + JUDGING :]}
    )
    with tempfile.TemporaryDirectory() as place, _evaluation() as watch:
        folder = Path(place)
        ir.save(resnet50(), folder / "resnet50.onnx")
        shared_s, ladders = _begun(folder, data, watch)
        costs = [_cost(ladders, t, folder / t.name, 0.0 if i else shared_s, watch) for i, t in enumerate(targets)]
        ladders.calibration.save(folder / CALIBRATION_FILE)
        costs += [_later(target, folder, data, watch) for target in targets[1:]]
    return costs


def _later(target: Target, folder: Path, data: CalibrationData, watch: _Watch) -> Cost:
    """Compress for a target as in a run of its own, from what an earlier one left in a folder."""
    shared_s, ladders = _begun(folder, data, watch)
    cost = _cost(ladders, target, folder / f"later-{target.name}", shared_s, watch)
    return msgspec.structs.replace(cost, target=f"{target.name}, later")


def _begun(folder: Path, data: CalibrationData, watch: _Watch) -> tuple[float, Ladders]:
    """Read and calibrate the network in a folder, from what is saved there if it is; return how long that took, and its ladders."""
    evaluated, began = watch.seconds, time.perf_counter()
    read = read_source(folder / "resnet50.onnx", data.validation)
    ladders = Ladders(calibrated(read, data.ranges, folder / CALIBRATION_FILE), data, max_drop=1.0)
    return time.perf_counter() - began - (watch.seconds - evaluated), ladders


def _cost(ladders: Ladders, target: Target, folder: Path, shared_s: float, watch: _Watch) -> Cost:
    evaluated, began = watch.seconds, time.perf_counter()
    ladder = ladders.of(target)
    choosing, chosen = watch.seconds, time.perf_counter()
    folder.mkdir()
    make(ladder.trials, target, climb(ladder, clock=None).recipes, folder)
    ended = time.perf_counter()
    return Cost(
        target.name,
        shared_s,
        choose_s=chosen - began - (choosing - evaluated),
        make_s=ended - chosen - (watch.seconds - choosing),
        evaluation_s=watch.seconds - evaluated,
    )


class _Watch:
    """How long calls took together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call that is timed."""

        def timed(*given: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*given)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


@contextmanager
def _evaluation() -> Iterator[_Watch]:
    """Time what runs a network to compare its answers with float's: the float network's own answers, and each trial's."""
    watch = _Watch()
    with (
        mock.patch.object(trials, "run", watch.over(trials.run)),
        mock.patch.object(trials, "open_session", watch.over(trials.open_session)),
        mock.patch.object(source, "answers", watch.over(source.answers)),
        mock.patch.object(source, "run_each", watch.over(source.run_each)),
        mock.patch.object(source, "open_session", watch.over(source.open_session)),
    ):
        yield watch


def main() -> None:
    """Measure, keep it and print the chapter."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    parser.add_argument("--samples", type=int, default=300, help="calibration samples")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[2] / ".peers")
    parser.add_argument("--kept", action="store_true", help="measure nothing where there is a result")
    asked = parser.parse_args()
    results = asked.folder / "results"
    if not (asked.kept and section(results)):
        here, costs = machine(), measure([find_target(name) for name in asked.targets], asked.samples)
        said = f"A network of ResNet-50's size, {asked.samples} calibration samples, on {here.cpu}, {here.cores} cores. {SAID}"
        results.mkdir(parents=True, exist_ok=True)
        write_atomic(results / RESULT, msgspec.json.encode(Kept(said, costs)))
    print(section(results))


if __name__ == "__main__":
    main()
