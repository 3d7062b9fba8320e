"""Bundles: a target's artifact with all that a device needs to run it, to try it, and to tell whether the world has moved.

The reference statistics are the artifact's own, on samples that the network was not trained on; the golden answers are the
artifact's own, too, so that a device is held against what it runs and not against the float model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.project import LEAST_FRESH
from edgeml_targets.contract import bundle, reference
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeml.data.dataset import Dataset
    from edgeml.model import Model
    from edgeml.project import Project
    from edgeml_compress import Compression, TargetResult
    from edgeml_targets.target import Target

Floats = npt.NDArray[np.float32]

GOLDEN_SAMPLES: Final = 32
_SMOOTH_FROM: Final = 3  # along a shorter axis second differences say nothing


class Chosen(Protocol):
    """What a target takes: `edgeml_compress.TargetResult`, or whatever has its fields."""

    @property
    def target(self) -> str:
        """The target's name."""

    @property
    def chosen(self) -> str:
        """The candidate's name."""

    @property
    def artifact(self) -> str:
        """Its file."""

    @property
    def accuracy(self) -> float | None:
        """Its share of right answers on the test split, `None` when it was not measured."""


class Packed(msgspec.Struct, frozen=True):
    """A bundle that was made: for which target, of which candidate, and its file."""

    target: str
    candidate: str
    bundle: str
    size_bytes: int
    sha256: str


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """The bundles of one model, as `edgeml bundle --json` prints them."""

    schema: str = "edgeml.bundles/1"
    model: str
    bundles: tuple[Packed, ...]


def make_bundle(
    project: Project, model: Model, dataset: Dataset, result: Chosen, *, out: Path, held: Collection[str] = ()
) -> Path:
    """Pack what a target takes into the file `out`, and return it. The same input gives the same bytes.

    Args:
        project: Knows its targets.
        model: The model that was compressed.
        dataset: Its fresh or validation split gives the reference statistics, see `reference_indexes`, its golden split
            the samples that a device tries itself on, `GOLDEN_SAMPLES` at most.
        result: The artifact, and for which target.
        out: The bundle's file.
        held: The ids of the additions that the champion's dataset holds.

    Raises:
        EdgemlError: The artifact cannot be run here, the golden split is empty, or `out` cannot be written.
    """
    artifact = Path(result.artifact)
    settings = project.target(result.target).settings()
    known, _ = dataset.ready_at(reference_indexes(dataset, held))
    golden = dataset.ready("golden")[0][:GOLDEN_SAMPLES]
    if len(golden) == 0:
        raise EdgemlError(
            "the golden split is empty",
            where=project.name,
            mend="raise data.splits.golden: a device tries itself on it",
        )
    scores = _scores(artifact, project.target(result.target), model, np.concatenate([known, golden]))
    axes = smooth_axes(dataset.preprocessing, known.shape[1:])
    content = bundle.golden_bytes(bundle.Golden(golden, scores[len(known) :]))
    manifest = bundle.Manifest(
        model=model.id,
        candidate=result.chosen,
        dataset=dataset.version,
        settings=settings,
        preprocessing=dataset.preprocessing,
        labels=model.manifest.classes,
        input=model.manifest.input,
        output=model.manifest.output,
        artifact=bundle.member_of(artifact),
        golden=bundle.describe_bytes(bundle.GOLDEN, content),
        reference=reference.fit(known, reference.probabilities(scores[: len(known)]), axes),
        accuracy=result.accuracy,
        made_at=model.manifest.made_at,
    )
    bundle.write_bundle(out, manifest, artifact, content)
    return out


def _scores(artifact: Path, target: Target, model: Model, inputs: Floats) -> Floats:
    """Return what an artifact answers, (samples, classes); for hardware that is not here as near to it as this machine comes."""
    from edgeml_bench import answers
    from edgeml_compress.judging.judge import local_settings

    settings, note = local_settings(target)
    if settings is None:
        raise EdgemlError(note.rstrip("."), where=target.name, mend="install its runtime, or leave the target out")
    scores = answers(artifact, settings, {model.manifest.input.name: inputs})[model.manifest.output.name]
    return np.asarray(scores, np.float32).reshape(len(inputs), -1)


def reference_indexes(dataset: Dataset, held: Collection[str] = ()) -> npt.NDArray[np.int64]:
    """Return the indexes of the samples that show how the world looks now: never trained on.

    That is the fresh split of all additions that the champion's dataset does not hold: after a drift older samples are no
    longer what devices see. Where these are fewer than `LEAST_FRESH`, the newest additions before them count, too; where
    all together are fewer, it is the validation split.

    Args:
        dataset: The dataset.
        held: The ids of the additions that the champion's dataset holds.
    """
    fresh = dataset.splits["fresh"]
    older = [addition for addition in dataset.additions if addition in held]
    while True:
        newest = fresh[np.isin(fresh, dataset.added_since(older))]
        if len(newest) >= LEAST_FRESH:
            return newest
        if not older:
            return dataset.splits["validation"]
        older.pop()


def smooth_axes(preprocessing: Preprocessing, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes along which neighbours resemble each other, counted from the last; empty for a table.

    Args:
        preprocessing: Tells where an image's channels are.
        shape: One input's, without the batch axis: an image's has 3 axes, a signal's 2 (channels, time), a table's 1.
    """
    axes = {3: preprocessing.smooth_axes, 2: (-1,)}.get(len(shape), ())
    return tuple(axis for axis in axes if shape[axis] >= _SMOOTH_FROM)


def bundle_project(
    project: Project,
    *,
    model: str | None = None,
    targets: Sequence[str] = (),
    folder: Path | None = None,
    progress: Progress = SILENT,
) -> Packing:
    """Pack what compression chose for a project's model.

    Args:
        project: The project.
        model: The model's id; default: the latest.
        targets: Only these; default: all that the model was compressed for.
        folder: Where the bundles go, `<target>.bundle` each; default: the workspace's `bundles/<model>/`.
        progress: Told bundle by bundle.

    Raises:
        EdgemlError: The model was not compressed, or not for a target; an artifact cannot be run here; or a bundle cannot
            be written.
    """
    from edgeml.challenge import champion_of, held_additions
    from edgeml.compression import compressed_folder, load_compression
    from edgeml.data.dataset import open_dataset
    from edgeml.model import find_model, latest_model

    found = find_model(project, model) if model else latest_model(project)
    results = _of(load_compression(compressed_folder(project, found)), targets)
    dataset = open_dataset(project, found.manifest.dataset)
    held = held_additions(project, champion_of(project))
    folder = folder or project.workspace / "bundles" / found.id
    made = []
    progress.begin("Packed")
    for i, result in enumerate(results):
        progress.advance(i, len(results), result.target)
        out = folder / f"{result.target}.bundle"
        path = make_bundle(project, found, dataset, result, out=out, held=held)
        made.append(Packed(result.target, result.chosen, str(path), path.stat().st_size, sha256_of(path)))
    progress.end(f"{len(made)} bundles of {found.id}")
    return Packing(model=found.id, bundles=tuple(made))


def _of(compression: Compression, targets: Sequence[str]) -> Sequence[TargetResult]:
    """Return the results of `targets`, of all where none is given; each one's artifact is as it was made."""
    results = {result.target: result for result in compression.targets}
    for target in targets:
        if target not in results:
            mend = f"choose one of {', '.join(results)}, or add it to edgeml.toml and compress again"
            raise EdgemlError("the model was not compressed for it", where=target, mend=mend)
    found = [results[target] for target in targets or results]
    for result in found:
        artifact, said = Path(result.artifact), result.candidate(result.chosen).sha256
        if not artifact.is_file() or sha256_of(artifact) != said:
            what = "missing, or not what compression made"
            raise EdgemlError(what, where=str(artifact), mend="make it again with edgeml compress")
    return found
