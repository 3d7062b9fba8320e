"""The chain, a function a stage; each ends in the gates of its phase and raises `GateFailed` when one does not hold.

prepare -> engineer -> evaluate -> deploy. `edgeml train`, `compress`, `fleet release`, `retrain` and `demo` are made of them.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml import evidence, ledger, lifecycle
from edgeml.challenge import Champion, compare, held_additions
from edgeml.challenge import champion_of as champion_of
from edgeml.challenge import right_on as right_on
from edgeml.drill import drills
from edgeml.gates import success_criteria_stated
from edgeml.gates.fallback_tried import FallbackEvidence
from edgeml.gates.fits_budget import MOST_SLOWER
from edgeml.model import Model
from edgeml.project import Project
from edgeml_targets.contract.bundle import open_bundle, read_manifest
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeml.data import Dataset
    from edgeml_agent.messages import Release
    from edgeml_bench import Timing
    from edgeml_compress import Compression
    from edgeml_compress.results import TargetResult
    from edgeml_targets.contract.settings import Settings

Flags = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.int64]

DATA_GATES: Final = ("enough_samples_a_class", "no_sample_in_two_splits", "data_unit_tests_hold")
RACE_S: Final = 1.5  # a target: its interval shows a champion that is clearly faster


@dataclass(frozen=True)
class Evaluated:
    """A model whose artifacts were made, measured and packed.

    Args:
        model: The model.
        compression: What was made of it.
        bundles, fallbacks: The new bundle, and the one to fall back to, a target each.
        champion: What the fleet runs, `None` before the first release.
        fresh_right: Whether its artifact answers each fresh sample rightly, `None` where there was nothing to compare.
    """

    model: Model
    compression: Compression
    bundles: dict[str, Path]
    champion: Champion | None = None
    fallbacks: dict[str, Path] = field(default_factory=dict)
    fresh_right: Flags | None = None


def prepare(project: Project, *, progress: Progress = SILENT) -> Dataset:
    """Prepare the data; the gates of business and data understanding and of data preparation judge it.

    Raises:
        GateFailed: One of them does not hold.
        EdgemlError: The data cannot be read.
    """
    from edgeml import data

    judge_criteria(project)
    dataset = data.prepare(project, progress=progress)
    judge_data(project, dataset)
    return dataset


def judge_criteria(project: Project) -> None:
    """Let the first gate judge whether success is stated.

    Raises:
        GateFailed: It is not.
    """
    criteria = success_criteria_stated.evidence_of(project)
    lifecycle.require([lifecycle.record(project, "success_criteria_stated", criteria, subject=project.name)])


def judge_data(project: Project, dataset: Dataset) -> None:
    """Let the gates of data understanding and data preparation judge a dataset.

    Raises:
        GateFailed: One of them does not hold.
    """
    found = (evidence.of_samples(dataset), evidence.of_splits(dataset), evidence.of_data_tests(dataset))
    _judge(project, dict(zip(DATA_GATES, found, strict=True)), subject=dataset.version)


def engineer(project: Project, dataset: Dataset, *, progress: Progress = SILENT) -> Model:
    """Train a model; the gates of model engineering judge it.

    Raises:
        GateFailed: It does not beat the baseline, or its manifest is not whole.
    """
    from edgeml.train import train

    model = train(project, dataset, progress=progress)
    judge_model(project, model, dataset)
    return model


def judge_model(project: Project, model: Model, dataset: Dataset) -> None:
    """Let the gates of model engineering judge a model that was trained or imported.

    Raises:
        GateFailed: It does not beat the baseline, or its manifest is not whole.
    """
    judged = {
        "beats_trivial_baseline": evidence.of_baseline(model, dataset),
        "manifest_whole": evidence.of_manifest(model),
    }
    _judge(project, judged, subject=model.id)


def evaluate(project: Project, model: Model, dataset: Dataset, *, progress: Progress = SILENT) -> Evaluated:
    """Compress, measure and pack a model for every target; the gates of model evaluation judge the artifacts.

    Raises:
        GateFailed: An artifact misses the criterion, unknown inputs pass as known, or the champion is better.
    """
    from edgeml.compression import compress_project

    compression = compress_project(project, model=model, dataset=dataset, progress=progress)
    return judge_artifacts(project, model, dataset, compression, progress=progress)


def judge_artifacts(
    project: Project, model: Model, dataset: Dataset, compression: Compression, *, progress: Progress = SILENT
) -> Evaluated:
    """Pack what compression chose, and let the gates of model evaluation judge it; see `evaluate`."""
    from edgeml.bundling import make_bundle, reference_indexes

    champion = champion_of(project)
    held = held_additions(project, champion)
    progress.begin("Packed")
    folder = project.workspace / "bundles" / model.id
    bundles, fallbacks = {}, dict(champion.bundles) if champion else {}
    for target in compression.targets:
        path = folder / f"{target.target}.bundle"
        make_bundle(project, model, dataset, target, out=path, held=held)
        bundles[target.target] = path
        if target.target not in fallbacks:  # of a first release: the float bundle
            float_path = folder / f"{target.target}.float32.bundle"
            make_bundle(project, model, dataset, _in_float(target), out=float_path, held=held)
            fallbacks[target.target] = float_path
    references = {target: read_manifest(path).reference for target, path in bundles.items()}
    challenge = compare(project, model, dataset, bundles, champion)
    if champion is not None and challenge.champion_right is not None:
        _note_accuracy(project, champion.release, challenge.champion_right)
    judged = {
        "artifact_meets_criterion": evidence.of_criterion(model, compression),
        "unknown_inputs_flagged": evidence.of_unknown(model, references, dataset, reference_indexes(dataset, held)),
        "challenger_beats_champion": challenge.evidence,
    }
    progress.end(f"{len(bundles)} bundles, {len(fallbacks)} to fall back to")
    _judge(project, judged, subject=model.id)
    return Evaluated(model, compression, bundles, champion, fallbacks, challenge.challenger_right)


def deploy(project: Project, evaluated: Evaluated, *, notes: str = "", progress: Progress = SILENT) -> Release:
    """Hold artifacts against their budgets, try the way back, sign a release, and start its rollout.

    Raises:
        GateFailed: A budget is not met or the fallback does not answer as before.
    """
    from edgeml.server.releases import Grounds, publish
    from edgeml.server.store import Store

    progress.begin("Released")
    model, compression = evaluated.model, evaluated.compression
    runnable = {t: p for t, p in evaluated.bundles.items() if _runs_here(project, t)}
    races = _races(runnable, evaluated.champion)
    judged = {
        "fits_budget": evidence.of_budget(model, compression, races, evaluated.champion),
        "fallback_tried": FallbackEvidence(model.id, drills(evaluated.bundles, evaluated.fallbacks)),
    }
    _judge(project, judged, subject=model.id)
    store = Store.of(project)
    try:
        release = publish(
            project,
            model.id,
            evaluated.bundles,
            Grounds(
                ledger_head=ledger.head(project.ledger),
                judged_against=evaluated.champion.release if evaluated.champion else None,
                notes=notes,
                accuracies={t.target: t.accuracy for t in compression.targets},
            ),
            store=store,
        )
    finally:
        store.close()
    if evaluated.fresh_right is not None:
        _note_accuracy(project, release.name, evaluated.fresh_right)
    progress.end(f"{release.name}, signed: {len(release.bundles)} bundles")
    return release


def judge_latest(project: Project, compression: Compression, *, progress: Progress = SILENT) -> Evaluated:
    """Pack and judge what was just made of the project's latest model; see `judge_artifacts`."""
    from edgeml.data import open_dataset
    from edgeml.model import latest_model

    model = latest_model(project)
    dataset = open_dataset(project, model.manifest.dataset)
    return judge_artifacts(project, model, dataset, compression, progress=progress)


def release(project: Project, *, model: str | None = None, notes: str = "", progress: Progress = SILENT) -> Release:
    """Release a model: its data was judged when it was trained; compress it if it was not yet, pack, sign, roll out.

    Args:
        project: The project.
        model: The model's id; default: the latest, which after a retrain that was interrupted, or lost, is its challenger.
        notes: One sentence for people.
        progress: Told first which model it is, and which one the fleet runs.

    Raises:
        GateFailed: A gate of any phase before does not hold.
        EdgemlError: There is no such model, or the fleet runs it already.
    """
    from edgeml.compression import kept_compression
    from edgeml.data import open_dataset
    from edgeml.model import find_model, latest_model

    progress.begin("Took")
    taken = find_model(project, model) if model else latest_model(project)
    progress.end(_taken(taken, champion_of(project)))
    dataset = open_dataset(project, taken.manifest.dataset)
    judge_criteria(project)
    lifecycle.require_standing(project, DATA_GATES, subject=dataset.version)
    judge_model(project, taken, dataset)
    kept = kept_compression(project, taken)
    if kept is None:
        return deploy(project, evaluate(project, taken, dataset, progress=progress), notes=notes, progress=progress)
    evaluated = judge_artifacts(project, taken, dataset, kept, progress=progress)
    return deploy(project, evaluated, notes=notes, progress=progress)


def verify_ledger(project: Project) -> lifecycle.Verified:
    """Check the ledger, its evidence, and that the head of every release that the fleet was given is in it."""
    import sqlalchemy as sa

    from edgeml.server.releases import read_release, release_file
    from edgeml.server.store import Store
    from edgeml.server.tables import RELEASES

    names = {path.name for path in release_file(project, "x").parent.glob("r*")}
    if project.fleet_folder.exists():
        store = Store.of(project)
        try:
            with store.reading() as connection:
                names |= set(connection.scalars(sa.select(RELEASES.c.name)))
        finally:
            store.close()
    heads: dict[str, str | None] = {}
    for name in sorted(names):
        try:
            heads[name] = read_release(project, name).ledger_head
        except EdgemlError:
            heads[name] = None  # missing or changed: `verify` says so
    return lifecycle.verify(project, heads)


def _judge(project: Project, judged: dict[str, msgspec.Struct], *, subject: str) -> None:
    """Record every verdict, then stop at the first that does not hold: people see all that is wrong at once."""
    lifecycle.require([lifecycle.record(project, gate, e, subject=subject) for gate, e in judged.items()])


def _taken(model: Model, champion: Champion | None) -> str:
    """Say which model is released, and over which: people may think of another, where a retrain was interrupted."""
    made = f"{model.manifest.origin} {time.strftime('%d %b %H:%M', time.localtime(model.manifest.made_at))}"
    runs = f"{champion.release}, model {champion.model}" if champion else "none yet"
    return f"model {model.id}, {made}; the fleet runs {runs}"


def _in_float(target: TargetResult) -> TargetResult:
    """Return what a target takes when the float model is chosen."""
    return msgspec.structs.replace(
        target,
        chosen="float32",
        artifact=target.float_artifact,
        size_bytes=target.float_size_bytes,
        p50_us=target.float_p50_us,
        accuracy=target.float_accuracy,
    )


def _runs_here(project: Project, target: str) -> bool:
    from edgeml_bench import obstacle

    return obstacle(project.target(target)) is None


def _note_accuracy(project: Project, release: str, right: Flags) -> None:
    """Tell the fleet page what a release's answers are worth on new labels."""
    from edgeml.server.store import Store
    from edgeml.server.tables import ACCURACIES

    store = Store.of(project)
    try:
        with store.writing() as connection:
            row = {
                "at": time.time(),
                "release": release,
                "right": int(right.sum()),
                "labelled": len(right),
                "of": "new labels",
            }
            connection.execute(ACCURACIES.insert().values(row))
    finally:
        store.close()


def _races(bundles: dict[str, Path], champion: Champion | None) -> dict[str, Timing]:
    """Time each target's artifact against the champion's, interleaved; nothing where there is no champion."""
    found: dict[str, Timing] = {}
    for target, path in bundles.items():
        if champion is None or target not in champion.bundles:
            continue
        with tempfile.TemporaryDirectory(prefix="edgeml-race-") as scratch:
            old = open_bundle(champion.bundles[target], Path(scratch) / "old")
            new = open_bundle(path, Path(scratch) / "new")
            found[target] = beside_champion(old.artifact, new.artifact, new.manifest.settings)
    return found


def beside_champion(old: Path, new: Path, settings: Settings) -> Timing:
    """Time an artifact against the champion's; where it looks slower, once more in a second process, and the gentler one counts.

    A process that got an unlucky place in memory keeps it for all its loads, which their interval cannot show: of 140 races of
    two alike OpenVINO artifacts, one was off by 7 %, three by more than 2 %. A challenger that is slower is so twice.
    """
    from edgeml_bench import race

    timing = race([old, new], settings, seconds=RACE_S)[1]
    if timing.ratio_low <= MOST_SLOWER:
        return timing
    return min(timing, race([old, new], settings, seconds=RACE_S)[1], key=lambda t: t.ratio_low)
