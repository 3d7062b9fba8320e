"""A retrain: the whole chain again on the data of today, the challenger against the champion, and a release if it wins."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from edgeml import stages
from edgeml.challenge import champion_of
from edgeml.project import Project
from edgeml_targets.contract.errors import GateFailed
from edgeml_targets.contract.progress import SILENT, Progress

SCHEMA: Final = "edgeml.retrain/1"


class Contender(msgspec.Struct, frozen=True):
    """A champion or challenger: its model, and its compressed artifacts' accuracies on its own test split, a target each."""

    model: str
    release: str | None
    accuracies: dict[str, float | None]


class Retrain(msgspec.Struct, frozen=True, kw_only=True):
    """What a retrain came to: the document `edgeml.retrain/1`.

    Args:
        verdict: `pass` when a release was signed.
        release: Its name.
        reason: The gate that stopped the chain, or what was released.
        champion: What ran before; `None` before the first release.
        challenger: What was made; `None` when the chain stopped before.
    """

    schema: str = SCHEMA
    verdict: Literal["pass", "fail"]
    release: str | None
    reason: str
    champion: Contender | None
    challenger: Contender | None


def retrain(project: Project, *, notes: str = "", progress: Progress = SILENT) -> Retrain:
    """Train on the data of today, compress, hold the challenger against the champion, and release it if every gate holds.

    Args:
        project: Its newly labelled samples are in the data.
        notes: One sentence for the release.
        progress: Told what happens.

    Returns:
        What it came to; a gate that does not hold is a result, not an error.
    """
    before = champion_of(project)
    champion = Contender(before.model, before.release, before.accuracies()) if before else None
    challenger = None
    try:
        dataset = stages.prepare(project, progress=progress)
        model = stages.engineer(project, dataset, progress=progress)
        challenger = Contender(model.id, None, {})
        if before is not None and before.model == model.id:
            mend = "add labels with edgeml data add, or change edgeml.toml"
            raise GateFailed(f"training gave what {before.release} is", where=f"model {model.id}", mend=mend)
        evaluated = stages.evaluate(project, model, dataset, progress=progress)
        challenger = Contender(model.id, None, {t.target: t.accuracy for t in evaluated.compression.targets})
        release = stages.deploy(project, evaluated, notes=notes or "retrained", progress=progress)
    except GateFailed as failed:
        return Retrain(verdict="fail", release=None, reason=str(failed), champion=champion, challenger=challenger)
    signed = msgspec.structs.replace(challenger, release=release.name)
    reason = f"{release.name} is signed and rolled out"
    return Retrain(verdict="pass", release=release.name, reason=reason, champion=champion, challenger=signed)
