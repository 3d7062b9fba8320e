"""Measure what a second target costs once a first was compressed for: python -m peers.second_target [TARGET ...] [--samples 300]

The network has ResNet-50's shape and size, every sample is other noise. The targets are compressed for in one process, in
order, as one `edgeml compress` does: the network is read and calibrated once, then each target's way to round is chosen and its
candidates are made. Evaluation is timed, too, and told apart: what runs a network to compare its answers with float's.
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
from edgeml_compress.ladder import setting, trials
from edgeml_compress.ladder.climb import climb
from edgeml_compress.ladder.setting import Ladders
from edgeml_compress.making import make
from edgeml_compress.source import CalibrationData, calibrated, read_source
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.target import Target, find_target
from peers.calibration import noise
from peers.resnet50 import resnet50

TARGETS: Final = ("x86_64-onnxruntime", "x86_64-litert", "x86_64-openvino")
JUDGING: Final = 48  # samples for validation, and as many for evaluation
SAID: Final = """The first target reads and calibrates the network
and tries the ways to round; the others start from its calibration and try its way first, then others where it gains less. All
candidates are made and written. Evaluation, which runs networks to compare answers, stands apart, and candidates are not timed."""
RESULT: Final = "second_target.json"
HEAD: Final = "| | read and calibrate s | choose s | make s | together s | of the first | evaluation s |\n|---|---|---|---|---|---|---|"


class Cost(msgspec.Struct, frozen=True):
    """What one target cost: seconds for what all targets share (only the first pays), to choose how to round, to make its
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
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder, _evaluation() as evaluation:
        path = Path(folder) / "resnet50.onnx"
        ir.save(resnet50(), path)
        began = time.perf_counter()
        source = calibrated(read_source(path, data.validation), data.ranges, Path(folder) / "none")
        shared_s = time.perf_counter() - began
        for target in targets:
            evaluation.seconds, began = 0.0, time.perf_counter()
            if not costs:
                ladders = Ladders(source, data, max_drop=1.0)
            ladder = ladders.of(target)
            choose_s, begun = time.perf_counter() - began - evaluation.seconds, time.perf_counter()
            evaluated, place = evaluation.seconds, Path(folder) / target.name
            place.mkdir()
            make(ladder.trials, target, climb(ladder, clock=None).recipes, place)
            make_s = time.perf_counter() - begun - (evaluation.seconds - evaluated)
            costs.append(Cost(target.name, 0.0 if costs else shared_s, choose_s, make_s, evaluation.seconds))
    return costs


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
        mock.patch.object(setting, "reference_answers", watch.over(setting.reference_answers)),
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
