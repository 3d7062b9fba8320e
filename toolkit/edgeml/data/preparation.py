"""From the source that the project names to a dataset in the workspace.

1. Look whether source, settings and additions are those of a dataset that is here; then open it.
2. Read the source batch by batch: hash each sample, count, write to the disk.
3. Append what `edgeml data add` brought and the source does not hold.
4. Share out, describe, name the folder after the hash of its content.
5. Record what is expected of the data, once; hold the dataset against it, always.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.data.additions import Addition, Form, read_addition, read_additions
from edgeml.data.checks import check, expect, record, recorded
from edgeml.data.dataset import CODES, INPUTS, LABELS, RECORD, Dataset, Record, datasets_folder, open_dataset
from edgeml.data.describe import (
    Column,
    Counter,
    Description,
    count_classes,
    count_contents,
    count_splits,
    digests_of,
    first_not_finite,
)
from edgeml.data.sources import Raw, batch_length, find_source
from edgeml.data.splits import Digests, share_out, share_out_added
from edgeml.data.store import growing_npy, npy_bytes, open_npy
from edgeml.project import Project
from edgeml.workspace import publish, scratch
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.progress import SILENT, Progress

Samples = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

FORMAT: Final = "edgeml dataset 2"  # part of every key and version: another way to store makes other ones
VERSION_DIGITS: Final = 16
STEP_SAMPLES: Final = 4096


def prepare(project: Project, *, progress: Progress = SILENT) -> Dataset:
    """Return the project's dataset as its source and its added labels are now, checked against what is expected.

    Args:
        project: Its `data` section says where from and how.
        progress: Told of the samples read.

    Raises:
        EdgemlError: The source is missing or faulty, a value is not finite, there are no samples or one class only, or
            the workspace cannot be written to.
    """
    progress.begin("Prepared")
    source = find_source(project.data, project.root)
    additions = read_additions(project)
    stamp = source.stamp(project.data, project.root)
    known = _known(project, stamp, additions)
    dataset = known or _build(project, source.read(project.data, project.root), additions, progress)
    if stamp is not None and known is None:
        write_atomic(_key_file(project, stamp, additions), dataset.version.encode())
    dataset = _checked(project, dataset)
    failed = [c.name for c in dataset.description.checks if not c.holds]
    result = f"{dataset.description.samples:,} samples, {len(dataset.classes)} classes, dataset {dataset.version}"
    progress.end(result + (f"; does not hold: {', '.join(failed)}" if failed else ""), warning=bool(failed))
    return dataset


def accept(project: Project, dataset: Dataset) -> Dataset:
    """Record what is expected anew, from `dataset`, and return it checked against that.

    Raises:
        EdgemlError: The project cannot be written to.
    """
    record(project, expect(dataset.description))
    return _checked(project, dataset)


def _checked(project: Project, dataset: Dataset) -> Dataset:
    expected = recorded(project)
    if expected is None:
        expected = expect(dataset.description)
        record(project, expected)
    checks = check(dataset.description, expected, least_per_class=project.data.least_per_class)
    return replace(dataset, description=msgspec.structs.replace(dataset.description, checks=checks))


def _key_file(project: Project, stamp: str, additions: Sequence[Addition]) -> Path:
    key = "\n".join([FORMAT, stamp, project.data.model_dump_json(), *(a.id for a in additions)])
    return project.workspace / "prepared" / hashlib.sha256(key.encode()).hexdigest()[:VERSION_DIGITS]


def _known(project: Project, stamp: str | None, additions: Sequence[Addition]) -> Dataset | None:
    """Return the dataset that was made from the same before, when it is still here and whole."""
    if stamp is None:
        return None
    try:
        return open_dataset(project, _key_file(project, stamp, additions).read_text())
    except (OSError, UnicodeDecodeError, EdgemlError):
        return None  # then it is built, and what is wrong with the workspace comes up there


@dataclass(frozen=True)
class _Stored:
    """What is known of the samples once they are on the disk; `starts` says where each addition's begin."""

    ranges: tuple[Column, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    digests: Digests
    labels: Labels
    starts: tuple[int, ...]
    known: int


class _Intake:
    """Takes batches in: refuses what is not finite, counts, hashes, appends."""

    def __init__(self, append: Callable[[Samples], None], columns: Sequence[str]) -> None:
        self.counter, self.digests, self.labels = Counter(columns), [], []  # type: tuple[Counter, list[Digests], list[Labels]]
        self.length = 0
        self._append = append

    def take(self, batch: Samples, labels: Labels, place: Callable[[int], str]) -> None:
        bad = first_not_finite(batch)
        if bad is not None:
            raise EdgemlError("a value is NaN or infinite", where=place(bad), mend="fill it in or take the sample away")
        self.counter.count(batch)
        self._append(batch)
        self.digests.append(digests_of(batch))
        self.labels.append(labels)
        self.length += len(batch)


def _build(project: Project, raw: Raw, additions: Sequence[Addition], progress: Progress) -> Dataset:
    if len(raw.classes) == 1:
        what = f"one class only ({raw.classes[0]})"
        raise EdgemlError(what, where=project.data.source, mend="a classifier needs samples of two classes or more")
    with scratch(datasets_folder(project)) as folder:
        stored = _write_inputs(project, raw, additions, folder / INPUTS, progress)
        codes = _share_out(project, stored)
        preprocessing = raw.preprocessing
        if raw.own_scale:
            preprocessing = _with_own_scale(preprocessing, open_npy(folder / INPUTS), np.flatnonzero(codes == 0))
        version = _version(raw, preprocessing, stored, codes)
        contents = Record(
            version=version,
            classes=raw.classes,
            preprocessing=preprocessing,
            description=_describe(raw, stored, codes),
            additions=tuple(a.id for a in additions),
            starts=stored.starts,
        )
        (folder / LABELS).write_bytes(npy_bytes(stored.labels))
        (folder / CODES).write_bytes(npy_bytes(codes))
        (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(contents), indent=1))
        publish(folder, version)
    return open_dataset(project, version)


def _write_inputs(project: Project, raw: Raw, additions: Sequence[Addition], file: Path, progress: Progress) -> _Stored:
    """Write the source's samples, then of each addition those whose content was not there before."""
    first = next(raw.batches, None)
    if first is None or first.size == 0:
        mend = "a classifier needs samples of two classes or more"
        raise EdgemlError("holds no samples", where=project.data.source, mend=mend)
    form = Form(raw.classes, first.shape[1:], first.dtype)
    starts, known = [], 0
    with growing_npy(file, form.shape, form.dtype) as append:
        intake = _Intake(append, _columns(raw, form.shape))
        for batch in itertools.chain([first], raw.batches):
            done = intake.length
            intake.take(batch, raw.labels[done : done + len(batch)], lambda i, done=done: raw.place(done + i))  # type: ignore[misc]
            progress.advance(intake.length, len(raw.labels), f"{intake.length:,} of {len(raw.labels):,} samples")
        seen = {digest.tobytes() for digest in np.concatenate(intake.digests)}
        for addition in additions:
            starts.append(intake.length)
            inputs, labels = read_addition(project, addition, form)
            new = _unseen(digests_of(inputs), seen)
            known += len(inputs) - len(new)
            intake.take(inputs[new], labels[new], lambda i, a=addition: f"{a.source}, sample {i}")  # type: ignore[misc]
    return _Stored(
        ranges=intake.counter.columns(),
        shape=form.shape,
        dtype=form.dtype,
        digests=np.concatenate(intake.digests),
        labels=np.concatenate(intake.labels),
        starts=tuple(starts),
        known=known,
    )


def _unseen(digests: Digests, seen: set[bytes]) -> npt.NDArray[np.int64]:
    """Return the positions of contents that are not in `seen`, each once, and put them in."""
    new = []
    for i, digest in enumerate(digests):
        if digest.tobytes() not in seen:
            seen.add(digest.tobytes())
            new.append(i)
    return np.array(new, np.int64)


def _columns(raw: Raw, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of a row's entries; there are none where a sample is no row."""
    if len(shape) != 1:
        return ()
    return raw.columns or tuple(f"column {i}" for i in range(shape[0]))


def _share_out(project: Project, stored: _Stored) -> npt.NDArray[np.uint8]:
    """Share out the source, then each addition on its own, so that none moves what was there before."""
    splits, seed = project.data.splits, project.data.seed
    bounds = itertools.pairwise([0, *stored.starts, len(stored.labels)])
    source, *added = [(stored.digests[start:end], stored.labels[start:end]) for start, end in bounds]
    return np.concatenate([share_out(*source, splits, seed), *share_out_added(added, splits, seed)])


def _with_own_scale(preprocessing: Preprocessing, inputs: Samples, train: npt.NDArray[np.int64]) -> Preprocessing:
    """Return the preprocessing that brings the train split to mean 0 and deviation 1: per column, or over all values."""
    counter = Counter([str(i) for i in range(inputs.shape[1])] if inputs.ndim == 2 else [])
    step = batch_length(inputs[:1].nbytes)
    for start in range(0, len(train), step):
        counter.count(inputs[train[start : start + step]])
    columns = counter.columns()
    return msgspec.structs.replace(
        preprocessing,
        mean=tuple(c.mean * preprocessing.scale for c in columns),
        std=tuple((c.deviation * preprocessing.scale) or 1.0 for c in columns),
    )


def _version(raw: Raw, preprocessing: Preprocessing, stored: _Stored, codes: npt.NDArray[np.uint8]) -> str:
    form = [FORMAT, raw.classes, stored.shape, stored.dtype.str, stored.starts, preprocessing]
    digest = hashlib.sha256(msgspec.json.encode(form))
    for array in (stored.digests, stored.labels, codes):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:VERSION_DIGITS]


def _describe(raw: Raw, stored: _Stored, codes: npt.NDArray[np.uint8]) -> Description:
    contents = len(np.unique(stored.digests, axis=0))
    return Description(
        samples=len(stored.labels),
        shape=stored.shape,
        dtype=stored.dtype.name,
        low=min(c.low for c in stored.ranges),
        high=max(c.high for c in stored.ranges),
        mean=float(np.mean([c.mean for c in stored.ranges])),
        ranges=stored.ranges,
        missing=0,  # a value that is not finite was refused
        duplicates=len(stored.labels) - contents,
        conflicts=count_contents(stored.digests, stored.labels),
        straddling=count_contents(stored.digests, codes),
        classes=count_classes(stored.labels, raw.classes),
        splits=count_splits(codes, stored.labels, len(raw.classes)),
        added=len(stored.labels) - (stored.starts[0] if stored.starts else len(stored.labels)),
        known=stored.known,
    )
