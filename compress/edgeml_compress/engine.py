"""Compress a model for targets. The order of the work:

1. Read the model and prepare its graph; the answers must stay the same.
2. Calibrate once, on the samples that set ranges.
3. For each scheme, choose by the validation samples how layers are rounded; what was best for the first is kept with the
   calibration, and the others, now or in a later run, begin with it.
4. For each target, climb the ladder (`ladder/climb.py`), make the candidates that it came to, and export them.
5. For each target, evaluate them on the held-back samples, which may ask for more of them; race those that might be chosen, and
   choose.
6. Publish: artifacts take their places only when all of this is done, so that a failure leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgeml_bench import machine, obstacle
from edgeml_compress import sentences
from edgeml_compress.graph.layers import name_of
from edgeml_compress.graph.running import Samples, batches
from edgeml_compress.graph.sizes import sized_by_data
from edgeml_compress.judging.choice import FLOAT, Evidence, Limits, choose, evidence
from edgeml_compress.judging.judge import Figures, Held, Outcome, evaluate, judge, local_settings, refused
from edgeml_compress.ladder.climb import Climbed, climb, climb_on
from edgeml_compress.ladder.clock import Clock
from edgeml_compress.ladder.roundings import best
from edgeml_compress.ladder.setting import Ladders
from edgeml_compress.making import Made, make
from edgeml_compress.publishing import publish
from edgeml_compress.results import CandidateResult, Compression, StepDone, TargetResult
from edgeml_compress.source import (
    CALIBRATION_FILE,
    CalibrationData,
    Source,
    calibrated,
    check_labels,
    hash_of,
    read_source,
    reference_answers,
)
from edgeml_targets.contract.files import sha256_of, told
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.models import digest_of
from edgeml_targets.runtimes import find_runtime, installed
from edgeml_targets.target import Target


def compress(
    model: Path,
    data: CalibrationData,
    targets: Sequence[Target],
    *,
    limits: Limits,
    out: Path,
    progress: Progress = SILENT,
) -> Compression:
    """Make a model small and fast for targets within an accuracy budget, and prove it by measuring.

    Args:
        model: A float ONNX file.
        data: What it is calibrated and judged on.
        targets: Whom for, one or more.
        limits: What it may cost.
        out: Artifacts become `out/<target>/<model>.<candidate><suffix>`; what is there already is replaced.
        progress: Told step by step.

    Raises:
        EdgemlError: The model cannot be read, is quantized already, has an operator that a target lacks, or does not
            take the samples; the disk is full. Nothing is left in `out` then.

    Example:
        >>> found = compress(Path("kws.onnx"), data, [find_target("x86_64-litert")], limits=Limits(), out=Path("out"))
        >>> found.targets[0].chosen
        'int8'
    """
    began = time.monotonic()
    progress.begin("Read")
    source = read_source(model, data.validation)
    progress.end(f"{model}, {source.parameters:,} parameters, {sentences.counted(source.layers, 'layer')}")
    held = _held(source, data)
    with _staging(out) as stage:
        progress.begin("Calibrated")
        source = calibrated(source, data.ranges, out / CALIBRATION_FILE, progress)
        source = dataclasses.replace(source, others=(data.validation, data.evaluation))
        ladders = Ladders(source, data, limits.max_drop, progress)
        ranges = sentences.ranges(best(ladders.of(t).tried) for t in targets)
        ladders.calibration.save(stage / CALIBRATION_FILE)
        progress.end(f"{sentences.counted(_count(data.ranges), 'sample')}, {ranges}")
        progress.begin("Made")
        offers = {t.name: _offer(t, ladders, held, stage / t.name) for t in targets}
        progress.end(sentences.made([offer.made for offer in offers.values()]))
        progress.begin("Measured")
        made = sum(len(offer.made) for offer in offers.values())
        offers = {t.name: _evaluated(offers[t.name], t, ladders, held, limits) for t in targets}
        more = sum(len(offer.made) for offer in offers.values()) - made
        outcomes = {t.name: judge(offers[t.name].figures, t, held, limits, progress) for t in targets}
        progress.end(sentences.measured(outcomes.values(), _count(data.evaluation), more))
        results = [_result(t, outcomes[t.name], offers[t.name], limits, _Places(stage, out)) for t in targets]
        publish(stage, out, used=[source.path])
    steps = _steps(source, offers, ladders.of(targets[0]).validated, results)
    done = _document(source, data, results, steps, limits.max_drop)
    return msgspec.structs.replace(done, seconds=time.monotonic() - began)


def _document(
    source: Source,
    data: CalibrationData,
    results: Sequence[TargetResult],
    steps: tuple[StepDone, ...],
    max_drop: float,
) -> Compression:
    return Compression(
        model=os.path.relpath(source.path),
        evaluation_samples=_count(data.evaluation),
        range_samples=_count(data.ranges),
        validation_samples=_count(data.validation),
        targets=tuple(results),
        max_drop=max_drop,
        labelled=data.evaluation_labels is not None,
        steps=steps,
        parameters=source.parameters,
        layers=source.layers,
        model_sha256=digest_of(source.path),
        data_sha256=hash_of(data.ranges),
        machine=machine(),
        versions={r.runtime: r.runtime_version for r in results if r.runtime_version is not None},
        made_at=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        seconds=0.0,
    )


def _held(source: Source, data: CalibrationData) -> Held:
    reference = reference_answers(source, data.evaluation)
    names = [name_of(output) for output in source.model.graph.outputs]
    check_labels(reference, data.evaluation_labels, str(source.path), name=names[0])
    feed = next(batches(source.model, data.evaluation, most=1)).feed
    unjudged = tuple(name for name in names if name not in reference)
    sized = frozenset(name_of(value) for value in sized_by_data(source.model) if value.is_graph_output())
    return Held(data.evaluation, reference, data.evaluation_labels, feed, unjudged, sized)


@dataclass(frozen=True)
class _Offer:
    """A target's candidates.

    Args:
        climbed: What the ladder came to.
        made: The candidates, float32 first.
        notes: What making them has to say.
        folder: Where they lie.
        figures: How they answer the held-back samples.
    """

    climbed: Climbed
    made: Sequence[Made]
    notes: Sequence[str]
    folder: Path
    figures: Sequence[Figures] = ()


def _offer(target: Target, ladders: Ladders, held: Held, folder: Path) -> _Offer:
    """Climb the ladder for a target, and make the candidates that it comes to into `folder`."""
    ladder = ladders.of(target)
    with tempfile.TemporaryDirectory(prefix="edgeml-ladder-") as place:
        settings, _ = local_settings(target)
        timed = settings is not None and obstacle(target) is None
        clock = (
            Clock(ladder.trials, target, settings, held.feed, Path(place)) if timed and settings is not None else None
        )
        climbed = climb(ladder, clock)
    folder.mkdir(exist_ok=True)
    return _Offer(climbed, *make(ladder.trials, target, climbed.recipes, folder), folder)


def _evaluated(offer: _Offer, target: Target, ladders: Ladders, held: Held, limits: Limits) -> _Offer:
    """Return a target's candidates with how they answer the held-back samples; with more of them where these refuse full int8."""
    figures = evaluate(offer.made, target, held)
    refusal = refused(figures, limits.max_drop)
    ladder = ladders.of(target)
    climbed = offer.climbed
    if refusal is not None:
        climbed = climb_on(ladder, climbed, by_estimate=refusal is Evidence.INSUFFICIENT)
    if climbed is offer.climbed:
        return dataclasses.replace(offer, figures=figures)
    made, notes = make(ladder.trials, target, climbed.recipes, offer.folder, offer.made)
    return _Offer(climbed, made, notes, offer.folder, evaluate(made, target, held, figures))


def _steps(
    source: Source, offers: Mapping[str, _Offer], validated: int, results: Sequence[TargetResult]
) -> tuple[StepDone, ...]:
    shared: dict[tuple[StepDone, ...], list[str]] = {}
    for name, offer in offers.items():
        shared.setdefault(sentences.climbed(offer.climbed, validated), []).append(name)
    ladder = [sentences.for_targets(step, names) for steps, names in shared.items() for step in steps]
    chosen = [sentences.chosen(result) for result in results]
    return (*sentences.prepared(source), sentences.calibrated(source), *ladder, *chosen)


class _Places:
    """Where files are while the work goes on, and where they will be."""

    def __init__(self, stage: Path, out: Path) -> None:
        self.stage, self.out = stage, out

    def final(self, path: Path) -> str:
        """Return a file's final path, relative to the current folder."""
        inside = path.is_relative_to(self.stage)
        return os.path.relpath(self.out / path.relative_to(self.stage) if inside else path)


def _result(target: Target, outcome: Outcome, offer: _Offer, limits: Limits, places: _Places) -> TargetResult:
    budget = limits.budgets.get(target.name)
    choice = choose([f.judged() for f in outcome.figures], limits.max_drop, budget)
    candidates = {f.made.name: _candidate(f, places, limits.max_drop) for f in outcome.figures}
    taken, plain = candidates[choice.name], candidates[FLOAT]
    return TargetResult(
        target=target.name,
        title=target.title,
        runtime=target.runtime,
        chosen=choice.name,
        artifact=taken.artifact,
        size_bytes=taken.size_bytes,
        p50_us=taken.p50_us,
        accuracy=taken.accuracy,
        float_artifact=plain.artifact,
        float_size_bytes=plain.size_bytes,
        float_p50_us=plain.p50_us,
        float_accuracy=plain.accuracy,
        cosine_min=taken.cosine_min,
        notes=sentences.notes(target.name, choice, outcome, offer.notes, limits),
        candidates=tuple(candidates.values()),
        reason=choice.reason,
        unmet=choice.unmet,
        size_budget_bytes=budget.size_bytes if budget else None,
        latency_budget_ms=budget.latency_ms if budget else None,
        threads=target.threads,
        runtime_version=find_runtime(target.runtime).version() if installed(target.runtime) else None,
        layers=next(f.made.layers for f in outcome.figures if f.made.name == choice.name),
        sensitivity=offer.climbed.costs,
    )


def _candidate(figures: Figures, places: _Places, max_drop: float) -> CandidateResult:
    accuracy, drop, timing = figures.accuracy, figures.drop, figures.timing
    return CandidateResult(
        name=figures.made.name,
        artifact=places.final(figures.made.artifact),
        size_bytes=figures.size_bytes,
        p50_us=timing.p50_us if timing else None,
        accuracy=accuracy.share if accuracy else None,
        cosine_min=figures.fidelity.cosine_min,
        accuracy_low=accuracy.low if accuracy else None,
        accuracy_high=accuracy.high if accuracy else None,
        drop_points=drop.points if drop else None,
        drop_low=drop.low if drop else None,
        drop_high=drop.high if drop else None,
        drop_evidence=evidence(drop.low, drop.high, max_drop).value if drop else None,
        ratio=timing.ratio if timing else None,
        ratio_low=timing.ratio_low if timing else None,
        ratio_high=timing.ratio_high if timing else None,
        loads=timing.loads if timing else 0,
        inferences=timing.inferences if timing else 0,
        sha256=sha256_of(figures.made.artifact),
        recipe=figures.made.recipe.to_toml() if figures.made.recipe else "",
        kept=figures.made.kept,
        notes=figures.made.notes,
    )


@contextlib.contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside `out`, on the same disk; it is gone afterwards."""
    with told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent)
    with folder as stage:
        yield Path(stage)


def _count(samples: Samples) -> int:
    return min((len(array) for array in samples.values()), default=0)
