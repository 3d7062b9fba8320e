"""The artifact fits its target: its size and latency budget, and it is not slower than what runs there now."""

from __future__ import annotations

import msgspec

from edgeml.figures import kilobytes, milliseconds
from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Budget, Project

MOST_SLOWER = 1.02
NOT_MEASURED = "latency not measured"


class ArtifactCost(msgspec.Struct, frozen=True):
    """What an artifact costs on its target.

    Args:
        size_bytes: Its size.
        p50_us: Its median latency, `None` where the target can't be measured here.
        ratio, ratio_low: Its latency over the champion's, interleaved, with the lower end of the 95 % interval; `None`
            where they were not raced.
        champion: The release that the target runs now; empty where it runs none.
    """

    target: str
    size_bytes: int
    p50_us: float | None
    ratio: float | None
    ratio_low: float | None
    champion: str = ""


class BudgetEvidence(msgspec.Struct, frozen=True):
    """The costs of all artifacts of one model."""

    model: str
    artifacts: tuple[ArtifactCost, ...]


def judge(evidence: BudgetEvidence, project: Project) -> Finding:
    """Pass when every artifact fits; insufficient when what it is held against, budget or champion, needs a latency that
    could not be measured here."""
    findings = [(a, *_judge_one(a, project.budgets.get(a.target, Budget()))) for a in evidence.artifacts]
    order = [Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS]
    worst, verdict, reason = min(findings, key=lambda f: order.index(f[1]))
    budget = project.budgets.get(worst.target, Budget())
    latency = budget.latency_ms * 1000 if budget.latency_ms is not None else None
    if verdict is Verdict.PASS:
        reason = _in_words(evidence.artifacts)
    return Finding(
        verdict,
        f"{worst.target}: {kilobytes(worst.size_bytes)}, {milliseconds(worst.p50_us)}",
        f"at most {kilobytes(budget.size_bytes)}, {milliseconds(latency)}, {MOST_SLOWER:g} times the champion's latency",
        reason,
    )


def _judge_one(cost: ArtifactCost, budget: Budget) -> tuple[Verdict, str]:
    if budget.size_bytes is not None and cost.size_bytes > budget.size_bytes:
        return Verdict.FAIL, f"{cost.target} is larger than its budget"
    if budget.latency_ms is not None and cost.p50_us is not None and cost.p50_us > 1000 * budget.latency_ms:
        return Verdict.FAIL, f"{cost.target} is slower than its budget"
    if cost.ratio_low is not None and cost.ratio_low > MOST_SLOWER:
        return Verdict.FAIL, f"{cost.target} is slower than the champion: ratio {cost.ratio:.2f}"
    if budget.latency_ms is not None and cost.p50_us is None:
        return Verdict.INSUFFICIENT, f"{cost.target}: {NOT_MEASURED}, and a budget is stated"
    if cost.champion and cost.ratio is None:
        return Verdict.INSUFFICIENT, f"{cost.target}: {NOT_MEASURED} against {cost.champion}, which runs there"
    return Verdict.PASS, ""


def _in_words(costs: tuple[ArtifactCost, ...]) -> str:
    """Say what the pass rests on: the slowest against its champion, and where latency was not measured."""
    ratios = [c.ratio for c in costs if c.ratio is not None]
    against = [f"at most {max(ratios):.2f} times the champion's latency"] if ratios else []
    unmeasured = [c.target for c in costs if c.p50_us is None]
    without = [f"{NOT_MEASURED} on {', '.join(unmeasured)}"] if unmeasured else []
    return ", ".join(["every target fits", *against, *without])


GATE = Gate(
    phase=Phase.DEPLOYMENT,
    requirement="The artifact fits the target's budget",
    risk="The device runs out of memory or misses its deadline",
    check="size and median latency against the budget, latency interleaved with the champion's",
    evidence=BudgetEvidence,
    judge=judge,
    back_to=Phase.ENGINEERING,
)
