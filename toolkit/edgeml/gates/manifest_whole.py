"""The model can be made again: its manifest names code, data, parameters, seed and environment, and its files are those."""

from __future__ import annotations

import msgspec

from edgeml.gates import Finding, Gate, Phase, Verdict
from edgeml.project import Project


class ManifestEvidence(msgspec.Struct, frozen=True):
    """What a model's manifest says of each part (empty: nothing, or not enough to make it again), and which files were changed."""

    model: str
    parts: dict[str, str]
    changed_files: tuple[str, ...]


def judge(evidence: ManifestEvidence, project: Project) -> Finding:
    """Pass when no part is empty and no file was changed."""
    missing = [name for name, said in evidence.parts.items() if not said]
    faults = [f"no {name}" for name in missing] + [f"{name} was changed" for name in evidence.changed_files]
    return Finding(
        Verdict.FAIL if faults or not evidence.parts else Verdict.PASS,
        f"{len(evidence.parts) - len(missing)} of {len(evidence.parts)} parts, {len(evidence.changed_files)} files changed",
        "every part, 0 files changed",
        "; ".join(faults) or f"code: {evidence.parts.get('code', '')}",
    )


GATE = Gate(
    phase=Phase.ENGINEERING,
    requirement="The model's manifest is whole",
    risk="Nobody can make the model again, or tell what it was made from",
    check="code, data, parameters, seed and environment are named; the files' hashes are those",
    evidence=ManifestEvidence,
    judge=judge,
    back_to=Phase.ENGINEERING,
)
