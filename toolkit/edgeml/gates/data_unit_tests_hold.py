"""The data is what it is said to be: schema, ranges, missing values, duplicates, balance."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class DataTest(msgspec.Struct, frozen=True):
    """One data unit test: its name, what was found, the limit, and whether it holds."""

    name: str
    value: str
    limit: str
    holds: bool


class DataTestsEvidence(msgspec.Struct, frozen=True):
    """All data unit tests of a dataset."""

    dataset: str
    tests: tuple[DataTest, ...]


def judge(evidence: DataTestsEvidence, project: Project) -> Finding:
    """Pass when every test holds; insufficient when there is none."""
    broken = [f"{t.name} is {t.value}, limit {t.limit}" for t in evidence.tests if not t.holds]
    verdict = Verdict.FAIL if broken else Verdict.PASS if evidence.tests else Verdict.INSUFFICIENT
    reason = "; ".join(broken) or ", ".join(t.name for t in evidence.tests) or "no test was run"
    held = len(evidence.tests) - len(broken)
    return Finding(verdict, f"{held} of {len(evidence.tests)} hold", "all hold", reason)


GATE = Gate(
    phase=Phase.PREPARATION,
    requirement="The data unit tests hold",
    risk="Broken or foreign data is trained on without anyone noticing",
    check="schema, ranges, missing values, duplicates and class balance against their limits",
    evidence=DataTestsEvidence,
    judge=judge,
    back_to=Phase.PREPARATION,
)
