"""From what a stage made to the typed evidence that a gate judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.gates.artifact_meets_criterion import ArtifactAccuracy, CriterionEvidence
from edgeml.gates.beats_trivial_baseline import BaselineEvidence
from edgeml.gates.challenger_beats_champion import TargetComparison
from edgeml.gates.data_unit_tests_hold import DataTest, DataTestsEvidence
from edgeml.gates.enough_samples_a_class import SamplesEvidence
from edgeml.gates.fits_budget import ArtifactCost, BudgetEvidence
from edgeml.gates.manifest_whole import ManifestEvidence
from edgeml.gates.no_sample_in_two_splits import SplitsEvidence
from edgeml.gates.unknown_inputs_flagged import TargetFlags, UnknownEvidence
from edgeml.model import Model, RunManifest
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.reference import KnownInputs, Reference, features, fit

if TYPE_CHECKING:
    from edgeml.challenge import Champion
    from edgeml.data import Dataset
    from edgeml_bench import Timing
    from edgeml_compress import Compression

Flags = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.int64]

FOREIGN_SAMPLES: Final = 200  # of each kind that is no input
FOLDS: Final = 10


def of_samples(dataset: Dataset) -> SamplesEvidence:
    """Count the samples of each class."""
    return SamplesEvidence(dataset.version, dict(dataset.description.classes))


def of_splits(dataset: Dataset) -> SplitsEvidence:
    """Count the samples of each split, and contents that are in two."""
    sizes = {name: len(indexes) for name, indexes in dataset.splits.items()}
    return SplitsEvidence(dataset.version, sizes, dataset.description.straddling)


def of_data_tests(dataset: Dataset) -> DataTestsEvidence:
    """Take over the data unit tests of a dataset."""
    tests = tuple(DataTest(c.name, c.value, c.limit, c.holds) for c in dataset.description.checks)
    return DataTestsEvidence(dataset.version, tests)


def of_baseline(model: Model, dataset: Dataset) -> BaselineEvidence:
    """Take over a model's validation metric and the trivial baseline's."""
    said = model.manifest
    samples = len(dataset.splits["validation"])
    return BaselineEvidence(model.id, said.metric, said.validation_metric, said.baseline_metric, samples)


def of_manifest(model: Model) -> ManifestEvidence:
    """Look what a model's manifest says, and whether its files are those it describes."""
    said = model.manifest
    trained = said.origin == "trained"
    parts = {
        "code": _code(said),
        "data": said.dataset,
        "parameters": bytes(said.parameters).decode().removeprefix("{}") if trained else "imported",
        "seed": _seed(said) if trained else "imported",
        "environment": _environment(said),
        "metrics": str(len(said.epochs)) if trained and said.epochs else "" if trained else "imported",
    }
    changed = [n for n, h in said.files.items() if not (model.folder / n).exists() or sha256_of(model.folder / n) != h]
    return ManifestEvidence(model.id, parts, tuple(changed))


def _code(said: RunManifest) -> str:
    """Return what names the code: of an own network its hash, else edgeml's version; and the commit, which may be missing."""
    if not said.environment.edgeml or (":" in said.network and not said.network_sha256):
        return ""
    own = [f"{said.network} {said.network_sha256[:12]}"] if said.network_sha256 else []
    commit = f"git commit {said.environment.git_commit[:12]}" if said.environment.git_commit else "no git commit"
    return ", ".join([*own, f"edgeml {said.environment.edgeml}", commit])


def _seed(said: RunManifest) -> str:
    """Return the seed where the parameters that trained the network have the same; empty where they have another or none."""
    try:
        trained_with = msgspec.json.decode(said.parameters, type=dict[str, object]).get("seed")
    except msgspec.MsgspecError:
        return ""
    return str(said.seed) if trained_with == said.seed else ""


def _environment(said: RunManifest) -> str:
    """Return the versions and the machine; empty where one is missing."""
    used = said.environment
    parts = {"Python": used.python, "numpy": used.numpy, "torch": used.torch, "on": used.machine}
    return ", ".join(f"{name} {value}" for name, value in parts.items()) if all(parts.values()) else ""


def of_criterion(model: Model, compression: Compression) -> CriterionEvidence:
    """Take over the accuracies of the chosen artifacts."""
    chosen = [(t, t.candidate(t.chosen)) for t in compression.targets]
    artifacts = tuple(
        ArtifactAccuracy(t.target, c.name, c.accuracy, c.accuracy_low, c.accuracy_high)
        for t, c in chosen
        if c.accuracy is not None and c.accuracy_low is not None and c.accuracy_high is not None
    )
    return CriterionEvidence(model.id, compression.evaluation_samples, artifacts)


def of_unknown(
    model: Model, references: Mapping[str, Reference], dataset: Dataset, indexes: Indexes, *, seed: int = 0
) -> UnknownEvidence:
    """Flag what is no input: uniform noise, constants, and samples whose values were shuffled; and known inputs.

    Args:
        model: Whose bundles the references are of.
        references: What scores and flags, a target each.
        dataset: Its test split gives the known inputs where the references were fitted on its validation split. Where
            they were fitted on fresh samples, the test split is of another world: then each tenth of these is measured
            by a fit on the other nine.
        indexes: The samples that the references were fitted on.
        seed: Draws noise, constants and order.
    """
    inputs, _ = dataset.ready_at(indexes)
    foreign = _foreign(inputs, np.random.default_rng(seed))
    fresh = bool(np.isin(indexes, dataset.splits["fresh"]).all())
    known = inputs if fresh else dataset.ready("test")[0]
    targets = []
    for target, reference in references.items():
        axes = reference.smooth_axes
        shares = {kind: float(_beyond(reference.known, batch, axes).mean()) for kind, batch in foreign.items()}
        flags = _beyond_each_other(known, axes) if fresh else _beyond(reference.known, known, axes)
        targets.append(_target_flags(target, shares, flags))
    return UnknownEvidence(model.id, FOREIGN_SAMPLES, tuple(targets))


def _foreign(inputs: npt.NDArray[np.float32], rng: np.random.Generator) -> dict[str, npt.NDArray[np.floating]]:
    low, high = float(inputs.min()), float(inputs.max())
    shape = inputs.shape[1:]
    some = inputs[rng.permutation(len(inputs))[:FOREIGN_SAMPLES]]
    constants = rng.uniform(low, high, (FOREIGN_SAMPLES, *[1] * len(shape)))
    return {
        "noise": rng.uniform(low, high, (FOREIGN_SAMPLES, *shape)),
        "constant": np.broadcast_to(constants, (FOREIGN_SAMPLES, *shape)),
        "shuffled": rng.permuted(some.reshape(len(some), -1), axis=1).reshape(some.shape),
    }


def _target_flags(target: str, shares: Mapping[str, float], flags: Flags) -> TargetFlags:
    from edgeml_bench import Accuracy

    if len(flags) == 0:
        return TargetFlags(target, shares["noise"], shares["constant"], shares["shuffled"], 0.0, 0.0, 0)
    found = Accuracy(int(flags.sum()), len(flags))
    return TargetFlags(
        target, shares["noise"], shares["constant"], shares["shuffled"], found.share, found.low, found.samples
    )


def of_comparison(target: str, fresh: tuple[Flags, Flags], test: tuple[Flags, Flags]) -> TargetComparison:
    """Turn where champion and challenger are right into what the challenger gained.

    Args:
        target: The target.
        fresh, test: Whether the champion's artifact, and the challenger's, answer each sample rightly, (samples,) each.
    """
    (fresh_count, gained), (test_count, kept) = (_gain(fresh), _gain(test))
    return TargetComparison(target, fresh_count, *gained, test_count, *kept)


def of_budget(
    model: Model, compression: Compression, races: Mapping[str, Timing], champion: Champion | None
) -> BudgetEvidence:
    """Take over sizes and latencies of the chosen artifacts, and their races against the champion's, a target each."""
    costs = []
    for target in compression.targets:
        timing = races.get(target.target)
        ratio, low = (timing.ratio, timing.ratio_low) if timing else (None, None)
        runs = champion.release if champion and target.target in champion.bundles else ""
        costs.append(ArtifactCost(target.target, target.size_bytes, target.p50_us, ratio, low, runs))
    return BudgetEvidence(model.id, tuple(costs))


def _gain(right: tuple[Flags, Flags]) -> tuple[int, tuple[float, float, float]]:
    """Return the number of samples, and the points gained on them with the paired 95 % interval."""
    from edgeml_bench import paired_drop

    if len(right[0]) == 0:
        return 0, (0.0, 0.0, 0.0)
    lost = paired_drop(*right)
    return len(right[0]), (-lost.points, -lost.high, -lost.low)


def _beyond(known: KnownInputs, batch: npt.NDArray[np.floating], smooth_axes: tuple[int, ...]) -> Flags:
    """Return for each input whether it is flagged, (samples,)."""
    if len(batch) == 0:
        return np.zeros(0, np.bool_)
    return np.asarray(known.distance(features(batch, smooth_axes)) > known.threshold)


def _beyond_each_other(inputs: npt.NDArray[np.float32], smooth_axes: tuple[int, ...]) -> Flags:
    """Return for each input whether a fit on the other folds flags it, (samples,)."""
    flags = np.zeros(len(inputs), np.bool_)
    fold_of = np.arange(len(inputs)) % FOLDS  # they are in a drawn order
    for fold in range(FOLDS):
        others = inputs[fold_of != fold]
        known = fit(others, np.ones((len(others), 1)), smooth_axes).known
        flags[fold_of == fold] = _beyond(known, inputs[fold_of == fold], smooth_axes)
    return flags
