"""Which candidate a target takes: pure, from what was measured.

1. Within the accuracy budget: at most `max_drop` points lost; without labels a worst cosine of 0.99 or more.
2. Within the target's budgets of size and latency. When nothing is: the nearest, and the choice says what is unmet.
3. Not slower than float32 by more than 2 % in the paired comparison.
4. Of these the fastest; among those with no difference to it the smallest. None: float32.

Where latency was not measured, steps 3 and 4 take the smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

import numpy as np

from edgeml_bench.statistics import Estimate, ratio_interval

FLOAT: Final = "float32"
LEAST_COSINE: Final = 0.99
MOST_SLOWER: Final = 1.02  # lower end of the ratio over float32
NO_DIFFERENCE: Final = 1.01  # a ratio within it is not worth a larger file, however surely it was measured
ROUNDING: Final = 1e-9
UNMEASURED: Final = "its latency was not measured here, so the smallest within the budget"


class Budget(Protocol):
    """What one target may spend; `None` is unlimited."""

    @property
    def size_bytes(self) -> int | None:
        """The artifact's size."""

    @property
    def latency_ms(self) -> float | None:
        """The median latency of one inference."""


@dataclass(frozen=True)
class Limits:
    """What compression may cost.

    Args:
        max_drop: Points of accuracy (a point is 0.01) that an artifact may lose against float.
        budgets: What a target may spend, by the target's name.
    """

    max_drop: float = 1.0
    budgets: Mapping[str, Budget] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A candidate and what was measured of it.

    Args:
        name: The candidate's name.
        size_bytes: The artifact's size.
        drop_points: Points lost against float on the held-back samples; `None` without labels.
        cosine_min: The worst cosine against float; `None` where no answer could be judged.
        p50_us: The median latency in the race; `None` where it took no part.
        medians_us: The median of each load in the race; empty when it took no part, since it was clearly slower.
    """

    name: str
    size_bytes: int
    drop_points: float | None = None
    cosine_min: float | None = None
    p50_us: float | None = None
    medians_us: tuple[float, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The candidate that was taken.

    Args:
        name: Its name.
        reason: Why it and no other, a sentence.
        unmet: Which budget it misses and by how much, or `None`.
    """

    name: str
    reason: str
    unmet: str | None = None


class Evidence(str, Enum):
    """What held-back samples say of an accuracy budget."""

    WITHIN = "within"  # the whole interval of what was lost is
    BEYOND = "beyond"  # none of it is
    INSUFFICIENT = "insufficient"  # the interval holds the budget's end: more samples would tell


def evidence(low: float, high: float, max_drop: float) -> Evidence:
    """Return what the 95 % interval of points lost, `low` to `high`, says of a budget of `max_drop` points.

    Example:
        >>> evidence(-0.4, 2.3, max_drop=1.0).value
        'insufficient'
    """
    if high <= max_drop + ROUNDING:
        return Evidence.WITHIN
    return Evidence.BEYOND if low > max_drop else Evidence.INSUFFICIENT


def accurate(candidate: Judged, max_drop: float) -> bool:
    """Tell whether a candidate is within the accuracy budget; float32 always is."""
    if candidate.name == FLOAT:
        return True
    if candidate.drop_points is not None:
        return candidate.drop_points <= max_drop + ROUNDING
    return candidate.cosine_min is not None and candidate.cosine_min >= LEAST_COSINE


def overspent(candidate: Judged, budget: Budget | None) -> float:
    """Return how many times its budget a candidate spends, of the tightest limit; at most 1 is within, 0 without a budget."""
    if budget is None:
        return 0.0
    spent = [candidate.size_bytes / budget.size_bytes] if budget.size_bytes is not None else []
    if budget.latency_ms is not None and candidate.p50_us is not None:
        spent.append(candidate.p50_us / 1000 / budget.latency_ms)
    return max(spent, default=0.0)


def over(first: Judged, second: Judged) -> Estimate:
    """Return the second's latency over the first's, from pairs of loads in one race."""
    return ratio_interval(first.medians_us, second.medians_us)


def slower(ratio: Estimate) -> bool:
    """Tell whether a ratio is a difference: its interval lies above 1, and it is more than 1 %."""
    return ratio.low > 1 and ratio.value > NO_DIFFERENCE


def choose(candidates: Sequence[Judged], max_drop: float, budget: Budget | None = None) -> Choice:
    """Return the candidate that a target takes.

    Args:
        candidates: All that were made, float32 among them, in any order.
        max_drop: Points of accuracy that may be lost.
        budget: What the target may spend.

    Raises:
        ValueError: float32 is not among them.
    """
    ordered = sorted(candidates, key=lambda c: (c.size_bytes, c.name))
    plain = next((c for c in ordered if c.name == FLOAT), None)
    if plain is None:
        raise ValueError("float32 is not among the candidates")
    good = [c for c in ordered if accurate(c, max_drop)]
    known = [c for c in good if c.medians_us] if _asks_latency(plain, budget) else good
    affordable = [c for c in known if overspent(c, budget) <= 1]
    if not affordable:
        return _nearest(known, ordered, max_drop, budget)
    if len(good) == 1 and len(ordered) > 1:
        return Choice(FLOAT, _why_only_float(ordered, max_drop))
    if not plain.medians_us:
        return Choice(affordable[0].name, UNMEASURED)
    return _fastest(plain, affordable)


def unsure(candidates: Sequence[Judged], max_drop: float, budget: Budget | None = None) -> bool:
    """Tell whether the race leaves open that the candidate taken is slower than another one by more than counts.

    Its ratio's interval holds 1, and holds more than `MOST_SLOWER`, too: more loads would tell.
    """
    taken = next(c for c in candidates if c.name == choose(candidates, max_drop, budget).name)
    rivals = [c for c in candidates if c.medians_us and c is not taken and accurate(c, max_drop)]
    ratios = [over(c, taken) for c in rivals if overspent(c, budget) <= 1] if taken.medians_us else []
    return any(r.low <= 1 and r.value > NO_DIFFERENCE and r.high > MOST_SLOWER for r in ratios)


def _asks_latency(plain: Judged, budget: Budget | None) -> bool:
    """Tell whether a latency budget decides: one is stated, and latency can be measured here, as float32's was."""
    return bool(plain.medians_us) and budget is not None and budget.latency_ms is not None


def _fastest(plain: Judged, affordable: Sequence[Judged]) -> Choice:
    raced = [c for c in affordable if c.medians_us]
    keeping_pace = [c for c in raced if c is plain or over(plain, c).low <= MOST_SLOWER]
    if not keeping_pace:  # float32 itself is over a budget, which counts for more than its pace
        best = min(raced or affordable, key=_median)
        return Choice(best.name, f"slower than {FLOAT}, which is over the budget")
    best = min(keeping_pace, key=_median)
    taken = next(c for c in keeping_pace if c is best or not slower(over(best, c)))  # they are sorted by size
    if taken is not best:
        ratio = over(best, taken)
        seen = f"{ratio.value:.2f} times that of {best.name}, 95 % interval {ratio.low:.2f} to {ratio.high:.2f}"
        return Choice(taken.name, f"the smallest of those with no difference in latency ({seen})")
    if best is not plain:
        return Choice(best.name, "the fastest within the budget")
    others = [c for c in raced if c is not plain]
    if not others:
        return Choice(FLOAT, "no other candidate is within the budget")
    smaller = [c for c in others if c.size_bytes < plain.size_bytes]  # at float's pace one would have been taken
    rivals = [c for c in (min(group, key=_median, default=plain) for group in (others, smaller)) if c is not plain]
    rival = next((c for c in rivals if slower(over(plain, c))), None)
    if rival is None:
        return Choice(FLOAT, "no other candidate that was raced is faster or smaller")
    times = over(plain, rival).value
    return Choice(FLOAT, f"{rival.name} is slower than float here ({times:.2f} times); float was kept")


def _median(candidate: Judged) -> tuple[float, int, str]:
    return float(np.median(candidate.medians_us or (np.inf,))), candidate.size_bytes, candidate.name


def _nearest(good: Sequence[Judged], made: Sequence[Judged], max_drop: float, budget: Budget | None) -> Choice:
    best = min(good, key=lambda c: (overspent(c, budget), c.size_bytes, c.name))
    missed = []
    if budget is not None and budget.size_bytes is not None and best.size_bytes > budget.size_bytes:
        missed.append(f"{best.size_bytes:,} bytes, the budget is {budget.size_bytes:,}")
    if budget is not None and budget.latency_ms is not None and (best.p50_us or 0) / 1000 > budget.latency_ms:
        missed.append(f"{(best.p50_us or 0) / 1000:.3f} ms, the budget is {budget.latency_ms:g} ms")
    found = [f"{best.name} takes {' and '.join(missed)}"]
    if best.name != FLOAT:
        found.append(f"it {_cost(best)}")
    within = [c for c in made if not accurate(c, max_drop) and _surely_within(c, budget)]
    if within:
        cheapest = min(within, key=_loss)
        found.append(f"{cheapest.name} would meet it, but {_cost(cheapest)}, {_allowed(cheapest, max_drop)}")
    return Choice(best.name, "the nearest to a budget that no candidate meets", "; ".join(found))


def _surely_within(candidate: Judged, budget: Budget | None) -> bool:
    """Tell whether a candidate is known to be within a budget: a latency that was not raced is not known."""
    asked = budget is not None and budget.latency_ms is not None
    return overspent(candidate, budget) <= 1 and (candidate.p50_us is not None or not asked)


def without_int8(name: str, candidates: Sequence[Judged], max_drop: float) -> str | None:
    """Return why a candidate without integers was taken, where no int8 one is accurate enough; float32 says so itself."""
    eight = [c for c in candidates if "int8" in c.name]
    if "int8" in name or name == FLOAT or not eight or any(accurate(c, max_drop) for c in eight):
        return None
    return _why_only_float(candidates, max_drop).removesuffix("; float was kept")


def _why_only_float(candidates: Sequence[Judged], max_drop: float) -> str:
    """Return what the nearest candidate would cost and gain, an int8 one where there are several kinds."""
    known = [c for c in candidates if c.name != FLOAT and (c.drop_points is not None or c.cosine_min is not None)]
    if not known:
        return "no candidate could be judged here; float was kept"
    plain = next(c for c in candidates if c.name == FLOAT)
    near = min([c for c in known if "int8" in c.name] or known, key=_loss)
    gain = f"{plain.size_bytes / near.size_bytes:.1f} times smaller"
    return f"the nearest, {near.name}, {_cost(near)}, {_allowed(near, max_drop)}, and is {gain}; float was kept"


def _loss(candidate: Judged) -> tuple[float, int, str]:
    """Return by what candidates are ordered that cost accuracy: points lost, or else how far from float they answer."""
    lost = -(candidate.cosine_min or -1.0) if candidate.drop_points is None else candidate.drop_points
    return lost, candidate.size_bytes, candidate.name


def _cost(candidate: Judged) -> str:
    if candidate.drop_points is not None:
        word = "gains" if round(candidate.drop_points, 1) < 0 else "loses"
        return f"{word} {abs(candidate.drop_points):.1f} points"
    if candidate.cosine_min is None:
        return "could not be judged here"
    return f"has a worst cosine of {candidate.cosine_min:.4f}"


def _allowed(candidate: Judged, max_drop: float) -> str:
    return f"{LEAST_COSINE} asked" if candidate.drop_points is None else f"{max_drop:g} allowed"
