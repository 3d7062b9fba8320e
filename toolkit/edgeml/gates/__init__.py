"""Gates: a file each, named after its requirement. The folder is the list; each file ends in `GATE = Gate(...)`.

A gate's check is a pure function from typed evidence and the project to a finding. What it judges was measured elsewhere.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

import msgspec

from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError

E = TypeVar("E", bound=msgspec.Struct)


class Phase(StrEnum):
    """CRISP-ML(Q)'s six phases, in order (Studer et al. 2021, arXiv:2003.05155)."""

    UNDERSTANDING = "business_and_data_understanding"
    PREPARATION = "data_preparation"
    ENGINEERING = "model_engineering"
    EVALUATION = "model_evaluation"
    DEPLOYMENT = "deployment"
    MONITORING = "monitoring_and_maintenance"


class Verdict(StrEnum):
    """What a gate said; `waived` is an insufficient one that a person let through, `pending` one that was not asked yet."""

    PASS = "pass"
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    WAIVED = "waived"
    PENDING = "pending"


class Finding(msgspec.Struct, frozen=True):
    """What a check found: the value and the threshold it was held against, both in words with units, and the reason."""

    verdict: Verdict
    value: str
    threshold: str
    reason: str


@dataclass(frozen=True)
class Gate(Generic[E]):
    """A requirement, the risk when it is missed, and the check.

    Args:
        phase: Where it stands.
        requirement: What must hold, one sentence.
        risk: What happens when it does not.
        check: How it is found out, one sentence.
        evidence: The type of evidence that it judges.
        judge: The check itself.
        back_to: The phase to go back to when it fails.
    """

    phase: Phase
    requirement: str
    risk: str
    check: str
    evidence: type[E]
    judge: Callable[[E, Project], Finding]
    back_to: Phase
    name: str = ""


def gate_names() -> list[str]:
    """Return the names of all gates, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find_gate(name: str) -> Gate[Any]:
    """Return a gate by its file's name.

    Raises:
        EdgemlError: There is none of that name.
    """
    if name not in gate_names():
        raise EdgemlError("no such gate", where=name, mend=f"choose one of {', '.join(gate_names())}")
    found: Gate[Any] = importlib.import_module(f"{__name__}.{name}").GATE
    return Gate(**{**{f: getattr(found, f) for f in Gate.__dataclass_fields__}, "name": name})


def all_gates() -> list[Gate[Any]]:
    """Return all gates in the order of the phases."""
    order: Final = list(Phase)
    return sorted((find_gate(n) for n in gate_names()), key=lambda g: (order.index(g.phase), g.name))
