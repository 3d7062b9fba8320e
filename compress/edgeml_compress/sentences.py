"""What was done and why, in words: the steps of the report, and the notes of a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from edgeml_compress.candidates import STATIC, Rounding
from edgeml_compress.judging.choice import (
    FLOAT,
    UNMEASURED,
    Choice,
    Evidence,
    Limits,
    evidence,
    without_int8,
)
from edgeml_compress.judging.judge import Outcome, refused
from edgeml_compress.ladder.climb import Climbed
from edgeml_compress.ladder.roundings import Tried
from edgeml_compress.ladder.trials import Trial
from edgeml_compress.ladder.variants import titles
from edgeml_compress.ladder.weights import CHANNEL, HALF, WeightForm
from edgeml_compress.making import Made
from edgeml_compress.observers import observer_names
from edgeml_compress.results import StepDone, TargetResult
from edgeml_compress.rewrites import said
from edgeml_compress.source import Source

OBSERVERS: Final = {
    "minmax": "the full range",
    "percentile": "99.99 % of the values",
    "mse": "least squared error",
    "entropy": "least divergence",
    "mean_minmax": "the mean range of a sample",
}


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 layer`, `22 layers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def prepared(source: Source) -> list[StepDone]:
    """Say how the graph was made simpler."""
    if not source.changes and source.moved < 1:
        effect = f"worst cosine {source.moved:.5f}"
        return [StepDone("Left the graph as it was.", "Making it simpler changed its answers.", effect)]
    effect = f"worst cosine {source.moved:.5f}"
    steps = []
    for name, count in source.changes.items():
        if count:
            what, noun, why = said(name)
            steps.append(StepDone(what.format(counted(count, noun)), why, effect))
    return steps


def calibrated(source: Source) -> StepDone:
    """Say what the calibration rests on."""
    found = source.calibration
    seen = f"{counted(found.samples, 'sample')}, {counted(len(found.tensors), 'tensor')}"
    broken = sum(not s.usable for s in found.tensors.values())
    effect = f"{counted(broken, 'tensor')} always 0 or not finite" if broken else "a range for every tensor"
    why = "All targets and candidates share it; no figure rests on these samples."
    return StepDone(f"Calibrated once: {seen}.", why, effect)


def climbed(found: Climbed, samples: int) -> tuple[StepDone, ...]:
    """Say how the ladder went for a target, whose name is added later: what was tried on so many validation samples."""
    steps = [] if not found.tried else [_ranges(found.tried, samples)]
    if found.form is not None:
        steps.append(_stored(found.form))
    if found.mixture is not None:
        layers = counted(len(found.mixture.nodes), "layer")
        why = "With more of them the answers did not hold, or it was slower."
        why = "With all of them held-back samples refused it: the loudest stay in float." if found.refused else why
        steps.append(StepDone(f"Computed {layers} in integers and the rest in float", why, _held(found.mixture.trial)))
    elif found.slow:
        why = f"With {counted(found.slow, 'layer')} in integers the answers held, and it was no faster."
        steps.append(StepDone("Left activations in float", why, "as fast as float"))
    if found.other is not None:
        what = f"Rounded all layers another way, too: by {range_title(found.other.rounding)}"
        why = "Held-back samples refused the best way by an estimate alone: of ways as good chance chooses."
        steps.append(StepDone(what, why, f"error {_percent(found.other.error)}"))
    return tuple(steps)


def for_targets(step: StepDone, names: Sequence[str]) -> StepDone:
    """Return a step that says which targets it was done for."""
    return StepDone(f"{step.what} for {', '.join(names)}.", step.why, step.effect)


def _ranges(tried: Sequence[Tried], samples: int) -> StepDone:
    """Say which observer was taken, and what the others would have cost; best first in `tried`."""
    best, *others = tried
    what = f"Drew the ranges of activations by {range_title(best.rounding)}"
    if best.taken_over:
        why = "It was the best of all ways for another target or in a run before, and pays here: no others were tried."
        return StepDone(what, why, f"error {_percent(best.error)}")
    if not others:
        return StepDone(what, "Every way to draw them gave the same.", f"error {_percent(best.error)}")
    judged = f"the outputs' error on {counted(samples, 'validation sample')}"
    why = f"Of {len(tried)} ways, {judged} is the smallest this way."
    if others[0].error < best.error:
        why = f"Of {len(tried)} ways, {judged} is next to the smallest this way, which asks for fewer passes."
    effect = f"error {_percent(best.error)}; next {_percent(others[0].error)} by {range_title(others[0].rounding)}"
    accuracies = best.trial.accuracy, others[0].trial.accuracy
    if accuracies[0] is not None and accuracies[1] is not None:
        effect += f"; accuracy {_percent(accuracies[0])} and {_percent(accuracies[1])}"
    return StepDone(what, why, effect)


def _stored(form: WeightForm) -> StepDone:
    """Say how weights are stored that are computed with in float."""
    most = "the other" if form.learned else "most" if form.others else "the"
    parts = [f"{most} weights {_form(form.block)}"]
    parts += [f"{len(form.named(block))} {_form(block)}" for block in sorted(set(form.others.values()), reverse=True)]
    why = "The smallest form with which the answers on validation samples held."
    if form.learned:  # most stand in `others`, by name
        parts = [*parts[1:], parts[0]]
        why += " Rounded to nearest none held: GPTQ chose the integers by what enters the layers."
    return StepDone(f"Stored {', '.join(parts)}", why, _held(form.trial))


def _form(block: int) -> str:
    """Return how weights are stored of which `block` values share a scale, see `ladder.weights`."""
    names = {CHANNEL: "with one scale a channel", HALF: "in half precision"}
    return names.get(block, f"in blocks of {block}" if block > 0 else "in float32")


def _held(trial: Trial | None) -> str:
    if trial is None:
        return "not tried"
    change = "" if trial.drop_points is None else f", {changed(trial.drop_points)}"
    return f"worst cosine {trial.cosine:.4f}{change}"


def changed(drop_points: float) -> str:
    """Return points of accuracy that were lost, or gained below 0, without a sign.

    Example:
        >>> changed(0.64), changed(-0.3), changed(-0.01), changed(1.0)
        ('0.6 points lost', '0.3 points gained', '0.0 points lost', '1.0 points lost')
    """
    word = "gained" if round(drop_points, 1) < 0 else "lost"
    return f"{abs(drop_points):.1f} points {word}"


def range_title(rounding: Rounding) -> str:
    """Return how ranges are drawn, with the passes around it: `99.99 % of the values (biases corrected)`."""
    around, observer = ", ".join(titles(rounding)), OBSERVERS.get(rounding.observer, rounding.observer)
    return f"{observer} ({around})" if around else observer


def ranges(roundings: Iterable[Rounding]) -> str:
    """Return what the line of the calibration says of one or several schemes, short: the report has the rest.

    Example:
        >>> ranges([Rounding("minmax")]), ranges([Rounding("minmax"), Rounding("mse")])
        ('ranges by the full range', 'ranges drawn in 2 ways')
    """
    ways = {rounding.observer for rounding in roundings}
    if len(ways) > 1:
        return f"ranges drawn in {len(ways)} ways"
    (observer,) = ways
    return f"ranges by {OBSERVERS.get(observer, observer)}"


def made(candidates: Sequence[Sequence[Made]]) -> str:
    """Return `5 candidates for 3 targets`."""
    names = {m.name for of_one in candidates for m in of_one}
    return f"{counted(len(names), 'candidate')} for {counted(len(candidates), 'target')}"


def measured(outcomes: Iterable[Outcome], samples: int, more: int = 0) -> str:
    """Return what the figures rest on, and how many candidates were made `more` since these samples refused full int8."""
    timings = [f.timing for o in outcomes for f in o.figures if f.timing is not None]
    held = counted(samples, "held-back sample")
    held += f", which asked for {counted(more, 'more candidate')}" if more else ""
    if not timings:
        return f"{held}; no latency"
    per_load = min(t.inferences // t.loads for t in timings)
    return f"{held}; {counted(min(t.loads for t in timings), 'load')} of {per_load:,} inferences or more each"


def chosen(result: TargetResult) -> StepDone:
    """Say what a target takes and why."""
    why = result.reason[:1].upper() + result.reason[1:]
    if result.p50_us is None or result.float_p50_us is None:
        effect = f"{result.size_bytes / 1000:,.0f} kB instead of {result.float_size_bytes / 1000:,.0f}"
    else:
        effect = f"{_latency(result.p50_us)} instead of {_latency(result.float_p50_us)}"
    return StepDone(f"Took {result.chosen} for {result.target}.", f"{why}.", effect)


def notes(target: str, choice: Choice, outcome: Outcome, left_out: Sequence[str], limits: Limits) -> tuple[str, ...]:
    """Return a target's notes: what the choice has to explain, what was not measured, and what is uncertain."""
    max_drop, budget = limits.max_drop, limits.budgets.get(target)
    taken = next(f for f in outcome.figures if f.made.name == choice.name)
    found = []
    if choice.unmet is not None:
        found.append(f"No candidate meets the budget: {choice.unmet}.")
    elif outcome.unmeasured is not None:
        asked = None if budget is None else budget.latency_ms
        unchecked = "" if asked is None else f", and the latency budget of {asked:g} ms was not checked"
        what = "" if taken.made.name == FLOAT else ": the smallest within the budget was taken"
        found.append(
            f"Latency was not measured ({outcome.unmeasured}){what}{unchecked}. "
            f"On the hardware: edgeml bench {taken.made.artifact.name} --target {target}"
        )
    if choice.unmet is None and _explains(choice):
        found.append(f"{choice.reason[:1].upper()}{choice.reason[1:]}.")
    why = without_int8(choice.name, [f.judged() for f in outcome.figures], max_drop)
    if why is not None:
        found.append(f"No int8 candidate is accurate enough: {why}.")
    drop = taken.drop
    unsure = drop is not None and evidence(drop.low, drop.high, max_drop) is Evidence.INSUFFICIENT
    if drop is not None and taken.made.name != FLOAT and unsure:
        samples = taken.accuracy.samples if taken.accuracy is not None else 0
        few = (
            f"{counted(samples, 'held-back sample')} {'is' if samples == 1 else 'are'} too few to be sure of the budget"
        )
        reach = f"by the 95 % interval up to {changed(drop.high)}, {max_drop:g} allowed"
        found.append(f"{few}: {changed(drop.points)}, {reach} (insufficient evidence).")
    return (*outcome.worthless, *found, *_refused(outcome, max_drop), *left_out, *outcome.notes)


def _refused(outcome: Outcome, max_drop: float) -> Iterator[str]:
    """Yield that full int8 is out by an estimate which more samples could move, and that it was tried in another way, too."""
    drop = next((f.drop for f in outcome.figures if f.made.name == STATIC), None)
    if drop is None or refused(outcome.figures, max_drop) is not Evidence.INSUFFICIENT:
        return
    yield (
        f"{STATIC} is over the budget by an estimate alone: {changed(drop.points)}, by the 95 % interval from "
        f"{changed(drop.low)} to {changed(drop.high)} (insufficient evidence); more samples would tell."
    )
    ways = {f"{STATIC}-{observer}" for observer in observer_names()}
    other = next((f.made.name for f in outcome.figures if f.made.name in ways), None)
    if other is not None:
        yield (
            f"{other} is {STATIC} rounded another way, about as good on validation samples, and was tried on the same held-back ones: "
            f"the better of two looks a little better than it is."
        )


def _explains(choice: Choice) -> bool:
    """Tell whether a person will ask why this one: it is float itself, or others were as fast."""
    asked = choice.name == FLOAT or "no difference" in choice.reason or "slower" in choice.reason
    return asked and choice.reason != UNMEASURED


def _latency(us: float) -> str:
    return f"{us:.3g} us" if us < 999.5 else f"{us / 1000:.3g} ms"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
