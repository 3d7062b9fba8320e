"""A dataset: raw samples, labels and splits under the hash of their content."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.data.describe import Description, digest_of
from edgeml.data.splits import SPLITS
from edgeml.data.store import open_npy
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing

Indexes = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

RECORD: Final = "dataset.json"
INPUTS: Final = "inputs.npy"
LABELS: Final = "labels.npy"
CODES: Final = "splits.npy"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `dataset.json` says beside the arrays.

    Args:
        additions: The ids of the additions that the dataset holds, in order.
        starts: Where each addition's samples begin; they go to the next one's, or to the end.
    """

    schema: str = "edgeml.dataset/1"
    version: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    description: Description
    additions: tuple[str, ...]
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Dataset:
    """One version of a project's data.

    Args:
        version: 16 hex digits of the hash of all that follows.
        inputs: Raw samples, as a device gets them, (samples, ...), mapped from the disk.
        labels: A class index each, (samples,).
        classes: The classes' names.
        preprocessing: From a raw sample to an input.
        splits: The indexes of each split's samples, in a drawn order: the first n of a split are a fair draw from it.
        description: What was counted, with the data unit tests.
        additions: The ids of the additions that it holds, in the order in which they came.
        starts: Where each addition's samples begin.
    """

    version: str
    inputs: npt.NDArray[Any]
    labels: Labels
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    splits: Mapping[str, Indexes]
    description: Description
    additions: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input as the network is fed, without the batch axis."""
        return self.ready_at(np.array([0]))[0].shape[1:]

    def ready(self, split: str) -> tuple[Floats, Labels]:
        """Return a split as the network is fed: inputs (samples, ...), float32, and labels (samples,).

        Raises:
            KeyError: There is no such split.
        """
        return self.ready_at(self.splits[split])

    def ready_at(self, indexes: Indexes) -> tuple[Floats, Labels]:
        """Return the samples at `indexes` as the network is fed: inputs (samples, ...), float32, and labels (samples,)."""
        return self.preprocessing.stack(self.inputs[indexes]), self.labels[indexes]

    def added_since(self, held: Collection[str]) -> Indexes:
        """Return the indexes of the samples that came with additions whose ids are not in `held`."""
        ends = [*self.starts, len(self.labels)][1:]
        ranges = zip(self.additions, self.starts, ends, strict=True)
        new = [np.arange(start, end) for addition, start, end in ranges if addition not in held]
        return np.concatenate([np.array([], np.int64), *new])

    def contents_at(self, indexes: Indexes) -> list[bytes]:
        """Return a hash of the content of each sample at `indexes`; copies have the same."""
        return [digest_of(self.inputs[i]) for i in indexes]


def datasets_folder(project: Project) -> Path:
    """Return the folder in which each version has one of its own."""
    return project.workspace / "datasets"


def open_dataset(project: Project, version: str) -> Dataset:
    """Return a version that was prepared.

    Raises:
        EdgemlError: It is not in the workspace, or its files are damaged.
    """
    folder = datasets_folder(project) / version
    record = read_record(project, version)
    inputs, labels, codes = (open_npy(folder / name) for name in (INPUTS, LABELS, CODES))
    indexes = np.arange(len(labels), dtype=np.int64)
    drawn = np.random.default_rng(int(version, 16)).permutation(indexes)
    return Dataset(
        version=version,
        inputs=inputs,
        labels=np.array(labels),
        classes=record.classes,
        preprocessing=record.preprocessing,
        splits={name: drawn[codes[drawn] == code] for code, name in enumerate(SPLITS)},
        description=record.description,
        additions=record.additions,
        starts=record.starts,
    )


def read_record(project: Project, version: str) -> Record:
    """Return what a version's `dataset.json` says.

    Raises:
        EdgemlError: The version is not in the workspace, or the file is damaged.
    """
    file = datasets_folder(project) / version / RECORD
    try:
        return msgspec.json.decode(file.read_bytes(), type=Record)
    except FileNotFoundError as error:
        mend = "edgeml data check prepares the present one"
        raise EdgemlError("no such dataset in the workspace", where=version, mend=mend) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        mend = "delete the folder .edgeml, it is built again"
        raise EdgemlError("a file of the workspace is damaged", where=str(file), mend=mend) from error
