"""The spine: every stage hands evidence to gates, every verdict goes into the ledger, and a failed gate stops the chain."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from edgeml import ledger
from edgeml.gates import Gate, Phase, Verdict, all_gates, find_gate
from edgeml.ledger import Fault, Record
from edgeml.project import FILE, Project
from edgeml_targets.contract.errors import EdgemlError, GateFailed

WORST_FIRST: Final = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PENDING, Verdict.WAIVED, Verdict.PASS)


MOST_CHARACTERS: Final = 500  # of a record's value, threshold and reason


class GateStatus(msgspec.Struct, frozen=True):
    """A gate's latest verdict."""

    gate: str
    requirement: str
    check: str
    threshold: str
    value: str
    verdict: Verdict
    reason: str
    at: float | None


class PhaseStatus(msgspec.Struct, frozen=True):
    """A phase: the worst of its gates' latest verdicts."""

    phase: Phase
    verdict: Verdict
    gates: tuple[GateStatus, ...]


class Status(msgspec.Struct, frozen=True):
    """The six phases in order: the document `edgeml.lifecycle/1`."""

    schema: str
    phases: tuple[PhaseStatus, ...]


class Verified(msgspec.Struct, frozen=True):
    """What `edgeml lifecycle verify` found: the document `edgeml.verify/1`."""

    schema: str
    records: int
    releases: int
    faults: tuple[Fault, ...]


def record(project: Project, gate: str, evidence: msgspec.Struct, *, subject: str, by: str = "") -> Record:
    """Let a gate judge `evidence`, append the verdict to the ledger, and return it.

    Args:
        project: Its thresholds apply, its ledger is written.
        gate: The gate's name, which is its file's.
        evidence: What the gate's check saw, of the gate's evidence type.
        subject: What is judged: a dataset's version, a model's id, a release's name.
        by: Who asked; default: the user who runs this.

    Raises:
        TypeError: The evidence is of another gate.
    """
    found, asked_by = find_gate(gate), by or getpass.getuser()
    if not isinstance(evidence, found.evidence):
        raise TypeError(f"{gate} judges {found.evidence.__name__}, not {type(evidence).__name__}")
    finding = found.judge(evidence, project)
    if finding.verdict == Verdict.INSUFFICIENT and (waiver := _waiver(project, gate, subject)) is not None:
        finding = msgspec.structs.replace(finding, verdict=Verdict.WAIVED, reason=waiver.reason)
        asked_by = waiver.by  # who took the responsibility
    told = {name: _short(getattr(finding, name)) for name in ("value", "threshold", "reason")}
    written = _record(found, subject, asked_by, msgspec.structs.asdict(msgspec.structs.replace(finding, **told)))
    return ledger.append(project.ledger, msgspec.json.format(msgspec.json.encode(evidence), indent=1), written)


class _Waiver(msgspec.Struct, frozen=True):
    by: str
    reason: str


def _waiver(project: Project, gate: str, subject: str) -> _Waiver | None:
    """Return who let a gate's insufficient verdict on `subject` through, and why; `None` when nobody did."""
    earlier = _latest(project).get(gate)
    if earlier is not None and earlier.verdict == Verdict.WAIVED and earlier.subject == subject:
        return _Waiver(earlier.by, earlier.reason)
    if gate in project.waivers:
        return _Waiver(FILE, project.waivers[gate])
    return None


def require(records: Iterable[Record]) -> None:
    """Stop the chain when a verdict is `fail` or `insufficient`.

    Raises:
        GateFailed: The first such verdict, with its reason and the phase to go back to.
    """
    for found in records:
        if found.verdict in (Verdict.FAIL, Verdict.INSUFFICIENT):
            waive = f", or waive it with edgeml lifecycle waive {found.gate} --reason ..."
            raise GateFailed(
                f"{found.verdict}: {found.reason}",
                where=f"gate {found.gate} ({found.phase})",
                mend=f"go back to {find_gate(found.gate).back_to}{waive if found.verdict == Verdict.INSUFFICIENT else ''}",
            )


def require_standing(project: Project, gates: Iterable[str], *, subject: str) -> None:
    """Stop the chain unless each gate's latest verdict on `subject` lets it go on.

    Raises:
        GateFailed: One does not, or was never asked about this subject.
    """
    said = {found.gate: found for found in ledger.read(project.ledger) if found.subject == subject}
    for name in gates:
        if name not in said:
            back = find_gate(name).back_to
            raise GateFailed(f"never judged {subject}", where=f"gate {name}", mend=f"go back to {back}")
    require(said[name] for name in gates)


def waive(project: Project, gate: str, *, reason: str, by: str = "") -> Record:
    """Let an insufficient verdict through, by name and reason; the record keeps the evidence that was insufficient.

    Raises:
        EdgemlError: The gate's latest verdict is not `insufficient`, or the reason is empty.
    """
    latest = _latest(project).get(find_gate(gate).name)
    if latest is None or latest.verdict != Verdict.INSUFFICIENT:
        said = "was not asked yet" if latest is None else f"says {latest.verdict}"
        raise EdgemlError(f"{said}; only `insufficient` can be waived", where=gate, mend="see edgeml lifecycle status")
    if not reason.strip():
        raise EdgemlError("a waiver needs a reason", where=gate, mend="give --reason")
    kept = (project.ledger.parent / "evidence" / f"{latest.evidence}.json").read_bytes()
    waived = msgspec.structs.replace(
        latest, verdict=Verdict.WAIVED, reason=reason.strip(), by=by or getpass.getuser(), at=time.time()
    )
    return ledger.append(project.ledger, kept, waived)


def status(project: Project) -> Status:
    """Return the six phases with the latest verdict of each gate; a gate that was not asked yet is `pending`."""
    latest = _latest(project)
    by_phase: dict[Phase, list[GateStatus]] = {phase: [] for phase in Phase}
    for gate in all_gates():
        by_phase[gate.phase].append(_status_of(gate, latest.get(gate.name)))
    return Status(
        "edgeml.lifecycle/1", tuple(PhaseStatus(p, _worst(gates), tuple(gates)) for p, gates in by_phase.items())
    )


def verify(project: Project, release_heads: Mapping[str, str | None]) -> Verified:
    """Check the whole ledger, its evidence, and that the heads which signed releases carry are in it.

    Args:
        project: Whose ledger.
        release_heads: The head that each release carries; `None` for one whose file is missing or was changed.
    """
    faults = ledger.verify(project.ledger, release_heads)
    count = sum(1 for _ in project.ledger.open("rb")) if project.ledger.exists() else 0
    return Verified("edgeml.verify/1", count, len(release_heads), tuple(faults))


def _record(gate: Gate[Any], subject: str, by: str, finding: dict[str, Any]) -> Record:
    return Record(
        number=0,
        at=time.time(),
        by=by,
        phase=gate.phase,
        gate=gate.name,
        requirement=gate.requirement,
        risk=gate.risk,
        check=gate.check,
        subject=subject,
        evidence="",
        previous="",
        **finding,
    )


def _short(text: str) -> str:
    """Cut what a record tells; the evidence holds all of it."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


def _latest(project: Project) -> dict[str, Record]:
    return {found.gate: found for found in ledger.read(project.ledger)}


def _status_of(gate: Gate[Any], latest: Record | None) -> GateStatus:
    if latest is None:
        return GateStatus(gate.name, gate.requirement, gate.check, "", "", Verdict.PENDING, "not asked yet", None)
    return GateStatus(
        gate.name,
        gate.requirement,
        gate.check,
        latest.threshold,
        latest.value,
        latest.verdict,
        latest.reason,
        latest.at,
    )


def _worst(gates: Iterable[GateStatus]) -> Verdict:
    found = {gate.verdict for gate in gates}
    return next((verdict for verdict in WORST_FIRST if verdict in found), Verdict.PENDING)
