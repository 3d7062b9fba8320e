"""Newly labelled samples that `edgeml data add` brings: kept in the project's `labels/`, not in the workspace.

An addition is one NPZ under the hash of its content, and one line in `additions.jsonl`. The NPZ is durable before the
line is; what has no line does not count, and adding it again writes the line.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import hashlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml.data.describe import digests_of, first_not_finite
from edgeml.data.sources import image_preprocessing, index_labels, read_source, stored_image
from edgeml.data.sources.npz import read_arrays
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import told, write_atomic

if TYPE_CHECKING:
    from edgeml.data.dataset import Dataset

LIST: Final = "additions.jsonl"
ID_DIGITS: Final = 16

Samples = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


class Addition(msgspec.Struct, frozen=True, kw_only=True):
    """One `edgeml data add`.

    Args:
        id: 16 hex digits of the hash of its samples and labels.
        at: Seconds since 1970, UTC.
        source: Where it came from, in words.
        samples: How many it brought.
        classes: How many of each class.
        known: How many were in the data already, or came twice: they are not taken again, and their old label stands.
        relabelled: How many of those came with another label than the one that stands.
    """

    id: str
    at: float
    source: str
    samples: int
    classes: dict[str, int]
    known: int = 0
    relabelled: int = 0


@dataclass(frozen=True)
class Form:
    """What an added sample must look like: the dataset's classes, and a raw sample's shape and element type."""

    classes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def add_labels(project: Project, inputs: Samples, labels: Samples, *, source: str) -> Addition:
    """Keep newly labelled samples; the next `prepare` trains and validates on them. Adding the same again changes nothing.

    Args:
        project: They go into its `labels/` folder.
        inputs: Raw samples (samples, ...), as a device gets them; images of another size or colour are converted.
        labels: (samples,): class names; or integers, which are indexes of classes unless the classes' names are integers.
        source: Where they come from, in words; it is written down.

    Raises:
        EdgemlError: There are none, they do not look like the dataset's samples, a class is not known, or the project
            cannot be written to.
    """
    from edgeml.data.preparation import prepare

    dataset = prepare(project)
    form = Form(dataset.classes, dataset.inputs.shape[1:], dataset.inputs.dtype)
    inputs = _in_form(project, np.asarray(inputs), form, source)
    names = _class_names(np.asarray(labels), form.classes, source)
    if len(names) != len(inputs):
        raise EdgemlError(f"{len(inputs)} samples, {len(names)} labels", where=source, mend="label each sample once")
    digest = hashlib.sha256(digests_of(inputs).tobytes() + "\0".join(names.tolist()).encode())
    found, counts = np.unique(names, return_counts=True)
    known, relabelled = _known(dataset, inputs, names)
    addition = Addition(
        id=digest.hexdigest()[:ID_DIGITS],
        at=time.time(),
        source=source,
        samples=len(inputs),
        classes={str(n): int(c) for n, c in zip(found, counts, strict=True)},
        known=known,
        relabelled=relabelled,
    )
    with _locked(project.labels):
        present = read_additions(project)
        for other in present:
            if other.id == addition.id:
                return other
        buffer = io.BytesIO()
        np.savez_compressed(buffer, inputs=inputs, labels=names)
        write_atomic(_file(project, addition), buffer.getvalue())
        write_atomic(project.labels / LIST, b"".join(msgspec.json.encode(a) + b"\n" for a in [*present, addition]))
    return addition


def add_from(project: Project, path: Path, labels: Path | None = None) -> Addition:
    """Keep newly labelled samples that a file or folder holds; see `add_labels`.

    Args:
        project: They go into its `labels/` folder.
        path: A folder of images (a class a folder), an NPZ (`inputs`, `labels`), a CSV, or an NPY with `labels` beside it.
        labels: An NPY with a class a sample, where `path` is an NPY.

    Raises:
        EdgemlError: A file is missing or faulty, or see `add_labels`.
    """
    for given in filter(None, (path, labels)):
        if not given.exists():
            raise EdgemlError("no such file or folder", where=str(given), mend=_nearest(given))
    if path.suffix == ".npy":
        if labels is None:
            raise EdgemlError("no labels", where=str(path), mend="give --labels, an .npy with a class a sample")
        return add_labels(project, read_arrays(path)["inputs"], read_arrays(labels)["inputs"], source=str(path))
    if labels is not None:
        mend = "give labels only beside an .npy"
        raise EdgemlError("labels for samples that bring their own", where=str(labels), mend=mend)
    raw = read_source(project.data.model_copy(update={"source": str(path.resolve())}), project.root)
    names = np.array(raw.classes)[raw.labels] if len(raw.labels) else np.array([], np.str_)
    batches = list(raw.batches)
    inputs = np.concatenate(batches) if batches else np.empty((0, 1), np.float32)
    return add_labels(project, inputs, names, source=str(path))


def _nearest(missing: Path) -> str:
    """Return what was meant by a path where nothing lies: the nearest name in its folder."""
    near = difflib.get_close_matches(missing.name, [beside.name for beside in missing.parent.glob("*")], n=1)
    return f"did you mean {missing.with_name(near[0])}?" if near else "check the path"


def read_additions(project: Project) -> list[Addition]:
    """Return all additions in the order in which they came.

    Raises:
        EdgemlError: The list is damaged.
    """
    file = project.labels / LIST
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EdgemlError(f"cannot be read: {error.strerror}", where=str(file), mend="check its rights") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(msgspec.json.decode(line, type=Addition))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            mend = "restore the file or take the line away"
            raise EdgemlError(f"no addition: {error}", where=f"{file}, line {number}", mend=mend) from error
    return found


def read_addition(project: Project, addition: Addition, form: Form) -> tuple[Samples, Labels]:
    """Return an addition's raw samples, in the dataset's form, and their class indexes.

    Raises:
        EdgemlError: Its file is missing or damaged, or the dataset has another form now.
    """
    file = _file(project, addition)
    arrays = read_arrays(file)
    mend = f"restore it, or take its line out of {project.labels / LIST}"
    if not {"inputs", "labels"} <= arrays.keys():
        raise EdgemlError("no inputs and labels", where=str(file), mend=mend)
    inputs, names = arrays["inputs"], arrays["labels"]
    if inputs.shape[1:] != form.shape or inputs.dtype != form.dtype:
        what = f"holds {inputs.dtype} {inputs.shape[1:]}, the dataset {form.dtype} {form.shape}"
        raise EdgemlError(what, where=str(file), mend=mend)
    return inputs, index_labels(names, form.classes, str(file))[0]


def count_labels_since(project: Project, dataset_version: str) -> int:
    """Return how many samples were added that a dataset does not hold; all of them where the workspace has no such dataset.

    Samples that were known when they were added do not count: nothing can be learned from them, and they judge nothing.

    Raises:
        EdgemlError: The list of additions is damaged.
    """
    from edgeml.data.dataset import read_record

    try:
        held = set(read_record(project, dataset_version).additions)
    except EdgemlError:
        held = set()
    return sum(a.samples - a.known for a in read_additions(project) if a.id not in held)


def _known(dataset: Dataset, inputs: Samples, names: npt.NDArray[np.str_]) -> tuple[int, int]:
    """Return how many samples the dataset or a sample before holds already, and how many of those have another label there."""
    contents = dataset.contents_at(np.arange(len(dataset.labels)))
    label_of = dict(zip(contents, np.array(dataset.classes)[dataset.labels].tolist(), strict=True))
    known = relabelled = 0
    for digest, name in zip(digests_of(inputs), names.tolist(), strict=True):
        content = digest.tobytes()
        known += content in label_of
        relabelled += label_of.setdefault(content, name) != name
    return known, relabelled


def _in_form(project: Project, inputs: Samples, form: Form, source: str) -> Samples:
    """Return samples as the dataset stores them."""
    if inputs.ndim < 2 or not len(inputs):
        raise EdgemlError(
            f"inputs of shape {inputs.shape}", where=source, mend="give (samples, ...), one sample or more"
        )
    preprocessing = image_preprocessing(project.data)
    if form.dtype == np.uint8 and len(form.shape) == 3 and inputs.dtype == np.uint8:
        try:
            inputs = np.stack([stored_image(image, preprocessing) for image in inputs])
        except ValueError as error:
            raise EdgemlError(
                str(error), where=source, mend="give images (samples, height, width, channels)"
            ) from error
    if inputs.shape[1:] != form.shape or (inputs.dtype.kind == "f") != (form.dtype.kind == "f"):
        what = f"samples are {inputs.dtype} {inputs.shape[1:]}, the dataset's {form.dtype} {form.shape}"
        raise EdgemlError(what, where=source, mend="give raw samples as a device gets them, not preprocessed ones")
    stored = np.ascontiguousarray(inputs, form.dtype)
    bad = first_not_finite(stored)
    if bad is not None:
        raise EdgemlError("a value is NaN or infinite", where=f"{source}, sample {bad}", mend="take the sample away")
    if inputs.dtype.kind in "iu" and not np.array_equal(stored, inputs):
        raise EdgemlError(
            f"a value does not fit {form.dtype}", where=source, mend="give raw samples as a device gets them"
        )
    return stored


def _class_names(labels: Samples, classes: tuple[str, ...], source: str) -> npt.NDArray[np.str_]:
    """Return each label's class name: integers name classes whose names are integers, else they count them from 0."""
    if labels.ndim != 1:
        raise EdgemlError(f"labels of shape {labels.shape}", where=source, mend="give one label a sample")
    if labels.dtype.kind in "iu" and all(c.removeprefix("-").isdigit() for c in classes):
        labels = labels.astype(np.str_)
    return np.array(classes)[index_labels(labels, classes, source)[0]]


def _file(project: Project, addition: Addition) -> Path:
    return project.labels / f"{addition.id}.npz"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change the folder."""
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
