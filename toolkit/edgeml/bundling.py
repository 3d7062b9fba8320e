"""Bundles: a target's artifact with all that a device needs to run it, to try it, and to tell whether the world has moved.

The reference statistics are the artifact's own, on samples that the network was not trained on; the golden answers are the
artifact's own, too, so that a device is held against what it runs and not against the float model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract import bundle, reference
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing

if TYPE_CHECKING:
    from edgeml.data.dataset import Dataset
    from edgeml.model import Model
    from edgeml.project import Project
    from edgeml_compress import Compression

Floats = npt.NDArray[np.float32]

GOLDEN_SAMPLES: Final = 32
NEWEST_ENOUGH: Final = 100  # validation samples of the last addition that can be a reference by themselves
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


def make_bundle(project: Project, model: Model, dataset: Dataset, result: Chosen, *, out: Path) -> Path:
    """Pack what a target takes into the file `out`, and return it. The same input gives the same bytes.

    Args:
        project: Knows its targets.
        model: The model that was compressed.
        dataset: Its validation split gives the reference statistics, see `reference_indexes`, its golden split the
            samples that a device tries itself on, `GOLDEN_SAMPLES` at most.
        result: The artifact, and for which target.
        out: The bundle's file.

    Raises:
        EdgemlError: The artifact cannot be run here, the golden split is empty, or `out` cannot be written.
    """
    artifact = Path(result.artifact)
    settings = project.target(result.target).settings()
    known, _ = dataset.ready_at(reference_indexes(dataset))
    golden = dataset.ready("golden")[0][:GOLDEN_SAMPLES]
    if len(golden) == 0:
        raise EdgemlError(
            "the golden split is empty", where=project.name, mend="raise data.splits.golden: a device tries itself on it"
        )
    from edgeml_bench import answers

    inputs, output = np.concatenate([known, golden]), model.manifest.output.name
    scores = answers(artifact, settings, {model.manifest.input.name: inputs})[output]
    scores = np.asarray(scores, np.float32).reshape(len(inputs), -1)
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
    )
    bundle.write_bundle(out, manifest, artifact, content)
    return out


def reference_indexes(dataset: Dataset) -> npt.NDArray[np.int64]:
    """Return the indexes of the samples that show how the world looks now: never trained on.

    That is the validation split; only what came with the last addition of it, where that is `NEWEST_ENOUGH` samples or
    more: after a drift the older ones are no longer what devices see.
    """
    validation = dataset.splits["validation"]
    newest = validation[np.isin(validation, dataset.newest)]
    return newest if len(newest) >= NEWEST_ENOUGH else validation


def smooth_axes(preprocessing: Preprocessing, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes along which neighbours resemble each other, counted from the last; empty for a table.

    Args:
        preprocessing: Tells where an image's channels are.
        shape: One input's, without the batch axis: an image's has 3 axes, a signal's 2 (channels, time), a table's 1.
    """
    if len(shape) == 3:
        axes = preprocessing.smooth_axes
    else:
        axes = (-1,) if len(shape) == 2 else ()
    return tuple(axis for axis in axes if shape[axis] >= _SMOOTH_FROM)


def pack_project(project: Project, compression: Compression, model: Model, *, folder: Path | None = None) -> Packing:
    """Pack what compression chose for every target of a project.

    Args:
        project: The project.
        compression: What was found for `model`.
        model: The model.
        folder: Where the bundles go, `<target>.bundle` each; default: the workspace's `bundles/<model>/`.

    Raises:
        EdgemlError: An artifact is not there any more or cannot be run here, or a bundle cannot be written.
    """
    from edgeml.data.dataset import open_dataset

    dataset = open_dataset(project, model.manifest.dataset)
    folder = folder or project.workspace / "bundles" / model.id
    made = []
    for result in compression.targets:
        path = make_bundle(project, model, dataset, result, out=folder / f"{result.target}.bundle")
        member = bundle.member_of(path)
        made.append(Packed(result.target, result.chosen, str(path), member.size_bytes, member.sha256))
    return Packing(model=model.id, bundles=tuple(made))
