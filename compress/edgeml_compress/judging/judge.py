"""Judge a target's candidates on the held-back samples: how right and how close to float they are, then how fast."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_bench import Accuracy, Drop, Timing, answers, obstacle, paired_drop, race
from edgeml_bench.accuracy import right_answers
from edgeml_bench.jobs import LEAST_LOADS
from edgeml_bench.racing import LOADS
from edgeml_compress.candidates import STATIC
from edgeml_compress.graph.running import Samples
from edgeml_compress.judging.choice import (
    FLOAT,
    Budget,
    Evidence,
    Judged,
    Limits,
    accurate,
    evidence,
    overspent,
    unsure,
)
from edgeml_compress.judging.fidelity import Answers, Fidelity, fidelity
from edgeml_compress.making import Made
from edgeml_compress.source import Labels, on_enough_cores
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors, find_runtime, installed
from edgeml_targets.target import Target

SCOUT_S: Final = 0.02  # for each candidate: it only decides who takes part in the race
SCOUT_INFERENCES: Final = 5
SCOUT_TURNS: Final = 2
CLEARLY_SLOWER: Final = 1.25  # than the fastest candidate when scouted: such a one is not raced
OBVIOUS: Final = 0.8  # of float's latency: of one candidate at that pace, the least number of loads is sure enough
MOST_LOADS: Final = 3 * LOADS  # of those whose first race does not tell which is faster
SHORT_RACE_S: Final = 0.6
RACE_S: Final = 1.2
LEAST_TURNS: Final = 4  # of each candidate in each load


ENOUGH_UNLABELLED: Final = 48
"""Held-back samples. With 36, silero-vad came out for LiteRT at a worst cosine of .986 on fresh ones; with 48, at .996 and above."""


@dataclass(frozen=True)
class Held:
    """What candidates are judged on.

    Args:
        samples: The held-back ones.
        reference: What the float model answers for them.
        labels: Their classes, where there are any.
        feed: One sample as the model takes it.
        unjudged: Outputs that are not in the reference: their shape differs from sample to sample.
        sized: Outputs whose size the data decides.
    """

    samples: Samples
    reference: Answers
    labels: Labels | None
    feed: Tensors
    unjudged: tuple[str, ...] = ()
    sized: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Figures:
    """What was measured of a candidate; see `results.CandidateResult`.

    Args:
        right: Which of the held-back samples it is right on, (samples,); `None` without labels.
    """

    made: Made
    size_bytes: int
    fidelity: Fidelity
    accuracy: Accuracy | None = None
    drop: Drop | None = None
    timing: Timing | None = None
    right: npt.NDArray[np.bool_] | None = dataclasses.field(default=None, compare=False)

    def judged(self) -> Judged:
        """Return what the choice needs of it."""
        return Judged(
            name=self.made.name,
            size_bytes=self.size_bytes,
            drop_points=self.drop.points if self.drop else None,
            cosine_min=self.fidelity.cosine_min,
            p50_us=self.timing.p50_us if self.timing else None,
            medians_us=self.timing.medians_us if self.timing else (),
        )


@dataclass(frozen=True)
class Outcome:
    """The figures of all candidates of a target, float32 first.

    Args:
        figures: A candidate each.
        notes: What a person should know.
        unmeasured: Why latency was not measured.
        worthless: Why no accuracy here says anything; empty where it does.
    """

    figures: tuple[Figures, ...]
    notes: tuple[str, ...] = ()
    unmeasured: str | None = None
    worthless: tuple[str, ...] = ()


def local_settings(target: Target) -> tuple[Settings | None, str]:
    """Return how a target's artifacts are evaluated on this machine, and a note where that is not the target's own way.

    Answers are judged on the CPU where the target's accelerator is not here, and in ONNX Runtime where the target's own
    runtime is not here but reads ONNX, too. `None`: they can't be judged.
    """
    settings = target.settings()
    if installed(target.runtime):
        if target.device == "cpu" or obstacle(target) is None:
            return settings, ""
        note = f"Answers were judged on this machine's CPU: {target.device} is not here."
        return msgspec.structs.replace(settings, device="cpu"), note
    if target.suffix == find_runtime("onnxruntime").suffix and installed("onnxruntime"):
        note = f"Answers were judged in ONNX Runtime: {target.runtime} is not installed here."
        return msgspec.structs.replace(settings, runtime="onnxruntime", device="cpu"), note
    return None, f"Answers were not judged: {target.runtime} is not installed here."


def evaluate(made: Sequence[Made], target: Target, held: Held, before: Sequence[Figures] = ()) -> list[Figures]:
    """Return how a target's candidates answer the held-back samples.

    Args:
        made: Candidates, float32 first.
        target: Where they run.
        held: What they are judged on.
        before: What is known of some of them already.

    Raises:
        EdgemlError: An artifact cannot be run.
    """
    settings, _ = local_settings(target)
    if settings is not None:
        settings = on_enough_cores(settings, model_bytes=made[0].artifact.stat().st_size)
    found: list[Figures] = []
    for candidate in made:
        known = next((f for f in before if f.made is candidate), None)
        found.append(known or _evaluated(candidate, settings, held, found[0].right if found else None))
    return found


def _evaluated(made: Made, settings: Settings | None, held: Held, float_right: npt.NDArray[np.bool_] | None) -> Figures:
    size_bytes = made.artifact.stat().st_size
    if settings is None:
        return Figures(made, size_bytes, Fidelity(None, 0))
    got = answers(made.artifact, settings, held.samples)
    close = fidelity(held.reference, got, held.sized)
    if held.labels is None:
        return Figures(made, size_bytes, close)
    right = right_answers(got[next(iter(held.reference))], held.labels)
    drop = paired_drop(right if float_right is None else float_right, right)
    return Figures(made, size_bytes, close, Accuracy(int(right.sum()), len(right)), drop, right=right)


def refused(figures: Sequence[Figures], max_drop: float) -> Evidence | None:
    """Return how surely the held-back samples refuse full int8: `None` where they do not, or it was not judged."""
    full = next((f for f in figures if f.made.name == STATIC), None)
    judged = full is not None and (full.drop is not None or full.fidelity.cosine_min is not None)
    if full is None or not judged or accurate(full.judged(), max_drop):
        return None
    return Evidence.BEYOND if full.drop is None else evidence(full.drop.low, full.drop.high, max_drop)


def judge(
    figures: Sequence[Figures], target: Target, held: Held, limits: Limits, progress: Progress = SILENT
) -> Outcome:
    """Time a target's candidates, and say what their figures leave open.

    Args:
        figures: Of the candidates, float32 first, from `evaluate`.
        target: Where they run.
        held: What they were judged on.
        limits: What may be spent: candidates over it are not raced.
        progress: Told how far the race is; the caller begins and ends the step.

    Raises:
        EdgemlError: An artifact cannot be run.
    """
    settings, note = local_settings(target)
    notes = [*([note] if note else []), *_doubts(figures, held)]
    accuracy, worthless = figures[0].accuracy, tuple[str, ...]()
    if held.labels is not None and accuracy is not None:
        worthless = tuple(no_better_than_chance(accuracy, held.labels))
    why_not = obstacle(target)
    if why_not is not None or settings is None:
        why = why_not.what if why_not is not None else "its runtime is not here"
        return Outcome(tuple(figures), tuple(notes), why, worthless)
    scouted = _scouted([f.made for f in figures], settings, held.feed)
    budget = limits.budgets.get(target.name)
    names = entrants([f.judged() for f in figures], scouted, limits.max_drop, budget)
    obvious = len(names) == 2 and scouted[names[1]] <= OBVIOUS * scouted[names[0]]
    pace = (SHORT_RACE_S, LEAST_LOADS) if obvious else (race_seconds(names, scouted), LOADS)
    timed = _raced(figures, names, settings, pace, held, progress)
    others = missing([f.judged() for f in timed], limits.max_drop, budget)
    if others or unsure([f.judged() for f in timed], limits.max_drop, budget):
        entered, loads = [*names, *others], LOADS if others else MOST_LOADS
        seconds = race_seconds(entered, scouted) * loads / LOADS
        timed = _raced(figures, entered, settings, (seconds, loads), held, progress)
    raced = next(f.timing for f in timed if f.timing is not None)
    return Outcome(tuple(timed), (*notes, *raced.notes), worthless=worthless)


def _doubts(figures: Sequence[Figures], held: Held) -> Iterator[str]:
    """Yield what the held-back samples cannot tell."""
    left_out = max(f.fidelity.left_out for f in figures)
    if left_out:
        one = left_out == 1
        yield (
            f"{left_out} of the float model's answers {'is' if one else 'are'} next to nothing: a cosine would judge noise, "
            f"so {'it was' if one else 'they were'} left out."
        )
    not_finite = max(f.fidelity.not_finite for f in figures)
    if not_finite:
        one = not_finite == 1
        yield f"{not_finite} of the float model's own answers {'is' if one else 'are'} not finite and could not be judged."
    unjudged = dict.fromkeys([*held.unjudged, *(name for f in figures for name in f.fidelity.apart)])
    if unjudged:
        yield f"Not judged, since its shape depends on the data: {', '.join(unjudged)}."
    count = min((len(array) for array in held.samples.values()), default=0)
    if held.labels is None and count < ENOUGH_UNLABELLED:
        yield (
            f"Without labels the worst answer judges, and the worst of {count} held-back samples can be far from that of others: "
            f"give {3 * ENOUGH_UNLABELLED} samples or more, a third of which is held back."
        )


def no_better_than_chance(accuracy: Accuracy, labels: Labels) -> Iterator[str]:
    """Yield a doubt where the float model's own accuracy does not lie, with its whole interval, above always naming one class.

    Whatever loses nothing against such a model proves nothing.

    Args:
        accuracy: The float model's.
        labels: Classes of the same samples, (samples,).
    """
    most_frequent = int(np.unique(labels, return_counts=True)[1].max(initial=0)) / max(1, len(labels))
    if accuracy.low > most_frequent:
        return
    beside = "no more" if accuracy.share <= most_frequent else "not clearly more"
    yield (
        f"The float model itself is right on {accuracy.share:.1%} of {accuracy.samples:,} held-back samples, {beside} than guessing "
        f"would be (the most frequent class: {most_frequent:.1%}): check labels and preprocessing."
    ).replace("%", " %")


def race_seconds(names: Sequence[str], scouted_us: Mapping[str, float]) -> float:
    """Return how long a race lasts, in seconds: of slow candidates each load has its turns, too, or chance would choose."""
    return max(RACE_S, LOADS * LEAST_TURNS * sum(scouted_us[name] for name in names) / 1e6)


def _raced(
    figures: Sequence[Figures],
    names: Sequence[str],
    settings: Settings,
    pace: tuple[float, int],
    held: Held,
    progress: Progress,
) -> list[Figures]:
    """Race the candidates `names`, for so many seconds and with so many loads; return all figures, with theirs."""
    entered = [f.made for f in figures if f.made.name in names]
    seconds, loads = pace
    artifacts = [made.artifact for made in entered]
    timings = race(artifacts, settings, seconds=seconds, loads=loads, inputs=held.feed, progress=progress)
    timing_of = {made.name: timing for made, timing in zip(entered, timings, strict=True)}
    return [dataclasses.replace(f, timing=timing_of.get(f.made.name)) for f in figures]


def entrants(
    candidates: Sequence[Judged], scouted_us: Mapping[str, float], max_drop: float, budget: Budget | None = None
) -> list[str]:
    """Return who is raced, in the order of `candidates`: float32, the fastest that may be chosen, and who comes close to it.

    Where none is small enough for its budget, the smallest is raced, since it is the nearest. Where none but float32 is
    accurate enough, the first int8 one is raced nevertheless: what it would have gained is worth knowing.
    """
    others = [c for c in candidates if c.name != FLOAT]
    good = [c for c in others if accurate(c, max_drop)]
    small = [c for c in good if budget is None or budget.size_bytes is None or c.size_bytes <= budget.size_bytes]
    if good and not small:
        smallest = min(good, key=lambda c: (c.size_bytes, c.name))
        return [c.name for c in candidates if c is smallest or c.name == FLOAT]
    rivals = [c.name for c in small or others[:1]]
    fastest = min((scouted_us[name] for name in rivals), default=0.0)
    near = {name for name in rivals if scouted_us[name] <= CLEARLY_SLOWER * fastest}
    return [c.name for c in candidates if c.name == FLOAT or c.name in near]


def missing(candidates: Sequence[Judged], max_drop: float, budget: Budget | None) -> list[str]:
    """Return who has yet to be raced before a latency budget counts as unmet: all within the accuracy budget that were not.

    None where no latency budget is stated, or one that was raced meets it with the others.
    """
    good = [c for c in candidates if accurate(c, max_drop)]
    met = any(c.medians_us and overspent(c, budget) <= 1 for c in good)
    if met or budget is None or budget.latency_ms is None:
        return []
    return [c.name for c in good if not c.medians_us]


def _scouted(made: Sequence[Made], settings: Settings, feed: Tensors) -> dict[str, float]:
    """Return roughly how long each candidate takes, in microseconds: the better of two turns, since others disturb."""
    turns = [{m.name: scout(m.artifact, settings, feed) for m in made} for _ in range(SCOUT_TURNS)]
    return {name: min(turn[name] for turn in turns) for name in turns[0]}


def scout(artifact: Path, settings: Settings, feed: Tensors) -> float:
    """Return roughly how long one inference takes, in microseconds: the median of a few, in this process."""
    session = find_runtime(settings.runtime).load(artifact, settings)
    try:
        session.run(feed)  # some runtimes prepare themselves at the first one
        times: list[float] = []
        until = time.perf_counter() + SCOUT_S
        while time.perf_counter() < until or len(times) < SCOUT_INFERENCES:
            began = time.perf_counter()
            session.run(feed)
            times.append(time.perf_counter() - began)
        return 1e6 * float(np.median(times))
    finally:
        session.close()
