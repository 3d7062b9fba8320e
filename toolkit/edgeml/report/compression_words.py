"""What the compression report says: headline, lead and captions, all from the result's own figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from edgeml.figures import number, signed
from edgeml.report.document import RUNTIMES
from edgeml_compress import CandidateResult, Compression, TargetResult
from edgeml_compress.judging.choice import FLOAT, LEAST_COSINE, Evidence

NO_GAIN: Final = 0.05  # times smaller that are not worth a word


class Verdict(NamedTuple):
    """What is said of a target: a status, its word, and a shorter one for a table in the terminal."""

    status: str
    word: str
    brief: str


def taken(target: TargetResult) -> CandidateResult:
    """Return the candidate that a target takes."""
    return target.candidate(target.chosen)


def times_faster(target: TargetResult) -> float | None:
    """Return how many times faster than float a target's choice is, from pairs where it was raced; `None`: not measured."""
    ratio = taken(target).ratio
    if ratio is not None:
        return 1 / ratio
    if target.p50_us is None or target.float_p50_us is None:
        return None
    return target.float_p50_us / target.p50_us


def times_smaller(target: TargetResult) -> float:
    """Return how many times smaller than float a target's choice is."""
    return target.float_size_bytes / target.size_bytes


def headline(compression: Compression) -> str:
    """Return the result in one sentence without its full stop: the best target's gain and its price, or why there is none."""
    targets = compression.targets
    over = [t for t in targets if t.unmet is not None]
    if over:
        others = f" on {len(over)} of {len(targets)} targets" if len(targets) > 1 else ""
        return f"No candidate meets the budget{others}: {over[0].target}’s nearest, {over[0].unmet}"
    changed = [t for t in targets if t.chosen != FLOAT]
    if not changed:
        return _kept(targets)
    best = max(changed, key=lambda t: (times_faster(t) or 0.0, times_smaller(t)))
    return f"{best.chosen} on {_short_name(best, targets)}: {', '.join([*_gains(best), *_price(best)])}"


def lead(compression: Compression) -> Markup:
    """Return who takes what, what it rests on, and how it was timed."""
    held = f"{compression.evaluation_samples:,} held-back sample{'s' if compression.evaluation_samples != 1 else ''}"
    judged = Markup("Judged on <b>{}</b> that no calibration saw; {}.").format(held, _timing(compression.targets))
    return Markup("{} {}").format(_takes(compression), judged)


def limit_name(compression: Compression) -> str:
    """Return the name of the accuracy budget, as it stands in a chart's shaded part."""
    if compression.labelled:
        return f"over the budget of {_points(compression.max_drop)}"
    return f"below the floor of {LEAST_COSINE:g}"


def panels_caption(compression: Compression, *, by_size: bool, shown: int) -> str:
    """Return how the panels are read, and which targets have none."""
    left = "Left is smaller" if by_size else "Left is faster, up is more accurate, a small circle is a small file"
    bars = " Bars are 95\u00a0% intervals." if compression.labelled else ""
    if by_size:
        return f"Latency was measured on none of the targets, so size stands for it. {left}, up is more accurate.{bars}"
    unraced = sum(c.p50_us is None for t in compression.targets if t.p50_us is not None for c in t.candidates)
    if unraced:
        one = unraced == 1
        left += (
            f"; {unraced} that {'was' if one else 'were'} clearly slower, or could not be chosen, "
            f"{'was' if one else 'were'} not raced and {'is' if one else 'are'} not drawn"
        )
    hidden = len(compression.targets) - shown
    missing = (
        f" {hidden} of {len(compression.targets)} targets could not be measured here and {'has' if hidden == 1 else 'have'} no panel."
        if hidden
        else ""
    )
    return f"{left}. The light line joins the best trade-offs.{bars}{missing}"


def verdict(target: TargetResult) -> Verdict:
    """Return what is said of a target, in the report and in the terminal."""
    if target.unmet is not None:
        return Verdict("bad", "over a budget", "over budget")
    if target.p50_us is None:
        return Verdict("unsure", "latency not measured", "no latency")
    if target.chosen == FLOAT:
        return Verdict("same", "float was kept", "float was kept")
    if _too_few_samples(target):
        return Verdict("few", "insufficient samples for the accuracy budget", "too few samples")
    return Verdict("ok", "within every budget", "in budget")


def accuracy_kept(compression: Compression) -> str:
    """Return that a labelled result is within the accuracy budget, and where its intervals reach over it that this is not sure."""
    unsure = any(_too_few_samples(target) for target in compression.targets)
    doubt = " by estimate, with too few samples to be sure" if unsure else ""
    return f"within the budget of {_points(compression.max_drop)}{doubt}"


def _too_few_samples(target: TargetResult) -> bool:
    return target.chosen != FLOAT and taken(target).drop_evidence == Evidence.INSUFFICIENT.value


def _kept(targets: Sequence[TargetResult]) -> str:
    reasons = {t.reason.removesuffix("; float was kept") for t in targets}
    where = targets[0].target if len(targets) == 1 else f"all {len(targets)} targets"
    why = reasons.pop() if len(reasons) == 1 else "no candidate is within the budget and faster"
    return f"Float was kept on {where}: {why}"


def _short_name(target: TargetResult, targets: Sequence[TargetResult]) -> str:
    alone = sum(t.runtime == target.runtime for t in targets) == 1
    return RUNTIMES.get(target.runtime, target.runtime) if alone and target.p50_us is not None else target.target


def _gains(target: TargetResult) -> list[str]:
    found, faster, choice = [], times_faster(target), taken(target)
    if faster is not None:
        if (
            choice.ratio_low is not None
            and choice.ratio_high is not None
            and choice.ratio_low <= 1 <= choice.ratio_high
        ):
            found.append("no difference in latency")
        elif faster >= 1:
            found.append(f"{_times(faster)} times faster")
        else:
            found.append(f"{1 / faster:.2f} times slower")
    smaller = times_smaller(target)
    found.append(f"{smaller:.1f} times smaller" if smaller > 1 + NO_GAIN else "no smaller")
    return found


def _times(factor: float) -> str:
    return f"{factor:.1f}" if factor >= 1.1 else f"{factor:.2f}"


def _price(target: TargetResult) -> list[str]:
    choice = taken(target)
    if choice.drop_points is None or choice.drop_low is None or choice.drop_high is None:
        return [] if target.cosine_min is None else [f"worst cosine {target.cosine_min:.4f}"]
    word = "gained" if round(choice.drop_points, 1) < 0 else "lost"
    interval = f"95\u00a0% interval {signed(-choice.drop_high)} to {signed(-choice.drop_low)}"
    return [f"{number(abs(choice.drop_points), 1)} points {word} ({interval})"]


def _takes(compression: Compression) -> str:
    where: dict[str, list[str]] = {}
    for target in compression.targets:
        where.setdefault(target.chosen, []).append(target.target)
    allowed = (
        accuracy_kept(compression)
        if compression.labelled
        else f"whose worst cosine is {LEAST_COSINE:g} or more; without labels its accuracy is not known"
    )
    if len(where) == 1:
        name = next(iter(where))
        who = "Every target takes" if len(compression.targets) > 1 else f"{compression.targets[0].target} takes"
        return f"{who} {name}{'' if name == FLOAT else ' ' if compression.labelled else ', '}{'' if name == FLOAT else allowed}."
    said = "; ".join(f"{_listed(names)} take{'s' if len(names) == 1 else ''} {name}" for name, names in where.items())
    return f"{said[0]}{said[1:]}: each {'is ' if compression.labelled else 'one '}{allowed}."


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 3:
        return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return f"{len(names)} targets"


def _timing(targets: Sequence[TargetResult]) -> str:
    raced = [c for t in targets for c in t.candidates if c.loads]
    if not raced:
        return "latency was not measured" if all(t.p50_us is None for t in targets) else "no candidate was raced"
    loads = min(c.loads for c in raced)
    each = min(c.inferences // c.loads for c in raced)
    return f"latency on this machine, candidates and float in turns, {loads} loads of {each:,} inferences or more each"


def _points(count: float) -> str:
    return f"{count:.1f} points"
