"""The challenger against the champion: both compressed, on the same samples, on every target that both have.

Fresh labels are the fresh split of all additions that the champion's dataset does not hold. Of the test split only what the
champion did not learn from judges: a source that grew may have brought a sample of its train split there.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml import evidence
from edgeml.gates.challenger_beats_champion import ChallengerEvidence
from edgeml.model import Model
from edgeml.project import Project
from edgeml_targets.contract.bundle import Manifest, open_bundle, read_manifest
from edgeml_targets.contract.settings import Settings

if TYPE_CHECKING:
    from edgeml.data import Dataset

Flags = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.int64]

LEARNED_FROM: Final = ("train", "calibration", "validation")


@dataclass(frozen=True)
class Champion:
    """What the fleet runs: the release, its model, and each target's bundle."""

    release: str
    model: str
    bundles: dict[str, Path]

    @property
    def dataset(self) -> str:
        """The version of the dataset that its model was trained on."""
        return read_manifest(next(iter(self.bundles.values()))).dataset

    def accuracies(self) -> dict[str, float | None]:
        """Return its artifacts' shares of right answers on the test split of its own dataset, a target each."""
        return {target: read_manifest(path).accuracy for target, path in self.bundles.items()}


@dataclass(frozen=True)
class Challenge:
    """What came out.

    Args:
        evidence: What the gate judges.
        champion_right, challenger_right: Whether each answers a fresh sample rightly, (samples,), on the target where the
            challenger is right least often; `None` where nothing was compared.
    """

    evidence: ChallengerEvidence
    champion_right: Flags | None = None
    challenger_right: Flags | None = None


def champion_of(project: Project) -> Champion | None:
    """Return what the fleet runs, or `None` before the first release has settled."""
    from edgeml.server import rollout
    from edgeml.server.releases import bundle_file, read_release
    from edgeml.server.store import Store

    if project.fleet.store is None and not project.fleet_folder.exists():
        return None  # looking would make the database
    store = Store.of(project)
    try:
        with store.reading() as connection:
            name = rollout.current_release(connection)
    finally:
        store.close()
    if name is None:
        return None
    release = read_release(project, name)
    return Champion(name, release.model, {t: bundle_file(project, ref.sha256) for t, ref in release.bundles.items()})


def held_additions(project: Project, champion: Champion | None) -> tuple[str, ...]:
    """Return the ids of the additions that the champion's dataset holds; none where there is no such dataset here."""
    held = _dataset_of(project, champion) if champion else None
    return held.additions if held else ()


def compare(
    project: Project, model: Model, dataset: Dataset, bundles: dict[str, Path], champion: Champion | None
) -> Challenge:
    """Hold the challenger's bundles against the champion's, on every target whose artifacts can be run here.

    Raises:
        EdgemlError: A bundle is none.
    """
    from edgeml_compress.judging.judge import local_settings

    if champion is None or champion.model == model.id:
        return Challenge(ChallengerEvidence(model.id, champion.model if champion else ""))
    before = _dataset_of(project, champion)
    fresh, test = judging_samples(dataset, before)
    notes = [] if before else [f"{champion.dataset} is not in the workspace: {champion.model} may know test samples"]
    right: dict[str, tuple[Flags, Flags, Flags, Flags]] = {}
    for target in [t for t in bundles if t in champion.bundles]:
        settings, note = local_settings(project.target(target))
        pair = (champion.bundles[target], bundles[target])
        if settings is None:
            notes.append(f"{target}: {note.rstrip('.')}")
        elif read_manifest(pair[0]).labels != dataset.classes:
            notes.append(f"{target}: the champion knows other classes")
        else:
            on_fresh = (right_of(path, dataset, fresh, settings) for path in pair)
            on_test = (right_of(path, dataset, test, settings) for path in pair)
            right[target] = (*on_fresh, *on_test)  # type: ignore[assignment]
    compared = tuple(evidence.of_comparison(target, flags[:2], flags[2:]) for target, flags in right.items())
    found = ChallengerEvidence(model.id, champion.model, compared, tuple(notes))
    if not right or len(fresh) == 0:
        return Challenge(found)
    least = min(right.values(), key=lambda flags: flags[1].mean())
    return Challenge(found, least[0], least[1])


def judging_samples(dataset: Dataset, before: Dataset | None) -> tuple[Indexes, Indexes]:
    """Return the indexes of the fresh samples and of those of the test split that can judge both models.

    Args:
        dataset: The challenger's.
        before: The champion's, `None` where it is not in the workspace: then all additions are fresh, and all test
            samples judge.
    """
    held = before.additions if before else ()
    fresh = dataset.splits["fresh"]
    fresh = fresh[np.isin(fresh, dataset.added_since(held))]
    test = dataset.splits["test"]
    if before is None or before.version == dataset.version:
        return fresh, test
    learned = set().union(*(before.contents_at(before.splits[split]) for split in LEARNED_FROM))
    fresh, test = (
        indexes[np.array([content not in learned for content in dataset.contents_at(indexes)], bool)]
        for indexes in (fresh, test)
    )
    return fresh, test


def right_of(bundle: Path, dataset: Dataset, indexes: Indexes, settings: Settings | None = None) -> Flags:
    """Return for each sample of `indexes` whether a bundle's artifact answers it rightly, (samples,); see `right_on`."""
    if len(indexes) == 0:
        return np.zeros(0, np.bool_)
    inputs, labels = dataset.ready_at(indexes)
    return right_on(bundle, inputs, labels, settings)


def right_on(bundle: Path, inputs: npt.NDArray[np.float32], labels: Indexes, settings: Settings | None = None) -> Flags:
    """Return for each input, as the network is fed, whether a bundle's artifact answers it rightly, (samples,).

    Args:
        bundle: The bundle's file.
        inputs, labels: (samples, ...) and (samples,).
        settings: Runtime and device to run it with, for a target that is not here; default: the bundle's own.

    Raises:
        EdgemlError: It is no bundle, or its artifact cannot be run here.
    """
    from edgeml_bench import answers
    from edgeml_bench.accuracy import right_answers

    with tempfile.TemporaryDirectory(prefix="edgeml-judge-") as scratch:
        opened = open_bundle(bundle, Path(scratch))
        said: Manifest = opened.manifest
        own = said.settings
        if settings is not None:
            own = msgspec.structs.replace(own, runtime=settings.runtime, device=settings.device)
        outputs = answers(opened.artifact, own, {said.input.name: inputs})
    return np.asarray(right_answers(outputs[said.output.name], labels))


def _dataset_of(project: Project, champion: Champion) -> Dataset | None:
    """Return the dataset that the champion was trained on; `None` when the workspace has none of that version any more."""
    from edgeml.data import open_dataset
    from edgeml.data.dataset import datasets_folder

    version = champion.dataset
    return open_dataset(project, version) if (datasets_folder(project) / version).is_dir() else None
