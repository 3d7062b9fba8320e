"""From what a stage made to the typed evidence that a gate judges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from edgeml.gates.artifact_meets_criterion import ArtifactAccuracy, CriterionEvidence
from edgeml.gates.beats_trivial_baseline import BaselineEvidence
from edgeml.gates.challenger_beats_champion import ChallengerEvidence
from edgeml.gates.data_unit_tests_hold import DataTest, DataTestsEvidence
from edgeml.gates.enough_samples_a_class import SamplesEvidence
from edgeml.gates.fits_budget import ArtifactCost, BudgetEvidence
from edgeml.gates.manifest_whole import ManifestEvidence
from edgeml.gates.no_sample_in_two_splits import SplitsEvidence
from edgeml.gates.unknown_inputs_flagged import UnknownEvidence
from edgeml.model import Model
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.reference import Reference, features

if TYPE_CHECKING:
    from edgeml.data import Dataset
    from edgeml_bench import Timing
    from edgeml_compress import Compression

Flags = npt.NDArray[np.bool_]

FOREIGN_SAMPLES: Final = 200  # of each kind that is no input


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
        "code": said.environment.edgeml,
        "data": said.dataset,
        "parameters": bytes(said.parameters).decode() if trained else "imported",
        "seed": str(said.seed),
        "environment": f"Python {said.environment.python}, numpy {said.environment.numpy}",
        "metrics": str(len(said.epochs)) if trained and said.epochs else "" if trained else "imported",
    }
    changed = [n for n, h in said.files.items() if not (model.folder / n).exists() or sha256_of(model.folder / n) != h]
    return ManifestEvidence(model.id, parts, tuple(changed))


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
    model: Model, reference: Reference, inputs: npt.NDArray[np.float32], *, seed: int = 0
) -> UnknownEvidence:
    """Flag what is no input: uniform noise, constants, and samples whose values were shuffled.

    Args:
        model: Whose bundle the reference is of.
        reference: What scores and flags.
        inputs: The samples that the reference was fitted on, as the network is fed, (samples, ...).
        seed: Draws noise, constants and order.
    """
    rng = np.random.default_rng(seed)
    low, high = float(inputs.min()), float(inputs.max())
    shape = inputs.shape[1:]
    some = inputs[rng.permutation(len(inputs))[:FOREIGN_SAMPLES]]
    constants = rng.uniform(low, high, (FOREIGN_SAMPLES, *[1] * len(shape)))
    foreign = {
        "noise": rng.uniform(low, high, (FOREIGN_SAMPLES, *shape)),
        "constant": np.broadcast_to(constants, (FOREIGN_SAMPLES, *shape)),
        "shuffled": rng.permuted(some.reshape(len(some), -1), axis=1).reshape(some.shape),
    }
    flagged = {kind: _flagged(reference, batch) for kind, batch in foreign.items()}
    return UnknownEvidence(model=model.id, samples=FOREIGN_SAMPLES, validation=_flagged(reference, inputs), **flagged)


def of_challenger(
    challenger: Model, champion: str, fresh: tuple[Flags, Flags] | None, test: tuple[Flags, Flags] | None
) -> ChallengerEvidence:
    """Turn where champion and challenger are right into what the challenger gained.

    Args:
        challenger: The new model.
        champion: The id of the model that runs; empty where there is none.
        fresh, test: Whether the champion's artifact, and the challenger's, answer each sample rightly, (samples,) each.
    """
    (fresh_count, gained), (test_count, kept) = (_gain(fresh), _gain(test))
    return ChallengerEvidence(challenger.id, champion, fresh_count, *gained, test_count, *kept)


def of_budget(model: Model, compression: Compression, races: dict[str, Timing]) -> BudgetEvidence:
    """Take over sizes and latencies of the chosen artifacts, and their races against the champion's, a target each."""
    costs = []
    for target in compression.targets:
        timing = races.get(target.target)
        ratio, low = (timing.ratio, timing.ratio_low) if timing else (None, None)
        costs.append(ArtifactCost(target.target, target.size_bytes, target.p50_us, ratio, low))
    return BudgetEvidence(model.id, tuple(costs))


def _gain(right: tuple[Flags, Flags] | None) -> tuple[int, tuple[float, float, float]]:
    """Return the number of samples, and the points gained on them with the paired 95 % interval."""
    from edgeml_bench import paired_drop

    if right is None or len(right[0]) == 0:
        return 0, (0.0, 0.0, 0.0)
    lost = paired_drop(*right)
    return len(right[0]), (-lost.points, -lost.high, -lost.low)


def _flagged(reference: Reference, batch: npt.NDArray[np.floating]) -> float:
    distance = reference.known.distance(features(batch, reference.smooth_axes))
    return float((distance > reference.known.threshold).mean())
