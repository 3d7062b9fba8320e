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
            where there is no champion.
    """

    target: str
    size_bytes: int
    p50_us: float | None
    ratio: float | None
    ratio_low: float | None


class BudgetEvidence(msgspec.Struct, frozen=True):
    """The costs of all artifacts of one model."""

    model: str
    artifacts: tuple[ArtifactCost, ...]


def judge(evidence: BudgetEvidence, project: Project) -> Finding:
    """Pass when every artifact fits; insufficient when a latency budget is stated that could not be measured."""
    findings = [(a, *_judge_one(a, project.budgets.get(a.target, Budget()))) for a in evidence.artifacts]
    order = [Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS]
    worst, verdict, reason = min(findings, key=lambda f: order.index(f[1]))
    budget = project.budgets.get(worst.target, Budget())
    latency = budget.latency_ms * 1000 if budget.latency_ms is not None else None
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
        return Verdict.INSUFFICIENT, f"{cost.target}: {NOT_MEASURED}"
    against = f", {cost.ratio:.2f} times the champion's latency" if cost.ratio is not None else ""
    return Verdict.PASS, f"every target fits{against}"


GATE = Gate(
    phase=Phase.DEPLOYMENT,
    requirement="The artifact fits the target's budget",
    risk="The device runs out of memory or misses its deadline",
    check="size and median latency against the budget, latency interleaved with the champion's",
    evidence=BudgetEvidence,
    judge=judge,
    back_to=Phase.ENGINEERING,
)
