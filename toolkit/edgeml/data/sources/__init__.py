"""Sources: a file each reads one form of data. The folder is the list; each file ends in `SOURCE = Source(...)`.

A source hands on batches, so that a folder of images need not fit the memory; what it reads comes from outside, so every
fault in it is an `EdgemlError` that names the file and the place.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing, resize

Samples = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]

BATCH_BYTES: Final = 8 << 20
IMAGE_SCALE: Final = 1 / 255
IMAGE_CHANNELS: Final = (1, 3, 4)


@dataclass(frozen=True)
class Raw:
    """What a source holds: raw samples, as a device gets them, and their labels.

    Args:
        batches: The samples in order, stacks of (some, ...) of one shape and element type.
        labels: A class index a sample.
        classes: The classes' names.
        preprocessing: From a raw sample to an input.
        place: Says where sample i comes from: "data.csv, line 204".
        columns: A table's column names.
        own_scale: The train split's own mean and deviation are to go into the preprocessing.
    """

    batches: Iterator[Samples]
    labels: Labels
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    place: Callable[[int], str]
    columns: tuple[str, ...] = ()
    own_scale: bool = False


@dataclass(frozen=True)
class Source:
    """One form of data.

    Args:
        accepts: Whether `source` of the project file, or the path that it leads to, is of this form.
        stamp: What changes when the data does, got without reading it all; `None` when only reading tells.
        read: Reads it.
    """

    accepts: Callable[[str, Path], bool]
    stamp: Callable[[DataSection, Path], str | None]
    read: Callable[[DataSection, Path], Raw]


def find_source(section: DataSection, root: Path) -> Source:
    """Return the source that reads what the section names; `root` is the folder that paths start from.

    Raises:
        EdgemlError: Nothing is there, or no source reads it.
    """
    path = root / section.source
    for name in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        source: Source = importlib.import_module(f"{__name__}.{name}").SOURCE
        if source.accepts(section.source, path):
            return source
    mend = "name a folder of images, an .npz, a .csv, module:function, mnist-5k, or japanese-vowels"
    what = "no source reads this form" if path.exists() else "no such file or folder"
    raise EdgemlError(what, where=str(path), mend=mend)


def read_source(section: DataSection, root: Path) -> Raw:
    """Read what the section names; see `find_source`."""
    return find_source(section, root).read(section, root)


def file_stamp(section: DataSection, root: Path) -> str:
    """Return a stamp of one file: its size and time of change."""
    return stamp_of([root / section.source])


def stamp_of(files: Sequence[Path]) -> str:
    """Return a stamp of files: their names, sizes and times of change.

    Raises:
        EdgemlError: One is missing.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            raise EdgemlError(f"cannot be read: {error.strerror}", where=str(file), mend="check the path") from error
        digest.update(f"{file}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def arrays_as_raw(section: DataSection, inputs: Samples, labels: Samples, names: Sequence[str], where: str) -> Raw:
    """Return arrays as raw samples: stacks of uint8 pixels are images, everything else goes in as it is.

    Args:
        section: Size, colour and scaling come from here.
        inputs: (samples, ...), numbers.
        labels: (samples,): class indexes into `names`; or, without names, integers or texts that name the classes.
        names: The classes' names, or nothing.
        where: What the error names.

    Raises:
        EdgemlError: An array has another shape or type, or the numbers of samples differ.
    """
    mend = "store numbers (samples, ...) and one label a sample"
    if inputs.ndim < 2 or inputs.dtype.kind not in "fiub":
        raise EdgemlError(f"inputs are {inputs.dtype} {inputs.shape}", where=where, mend=mend)
    if labels.shape != inputs.shape[:1]:
        what = f"{len(inputs)} inputs, but labels of shape {labels.shape}"
        raise EdgemlError(what, where=where, mend="store one label a sample, in the same order")
    indexes, classes = index_labels(labels, names, where)
    inputs = inputs.astype(inputs.dtype.newbyteorder("="), copy=False)
    if inputs.dtype == np.float64 or inputs.dtype == np.bool_:
        inputs = inputs.astype(np.float32)
    image = inputs.dtype == np.uint8 and (inputs.ndim == 3 or (inputs.ndim == 4 and inputs.shape[3] in IMAGE_CHANNELS))
    preprocessing = image_preprocessing(section) if image else array_preprocessing(section)
    batches = _images(inputs, preprocessing) if image else _slices(inputs)
    return Raw(
        batches=batches,
        labels=indexes,
        classes=classes,
        preprocessing=preprocessing,
        place=lambda i: f"{where}, sample {i}",
        own_scale=not image and section.mean is None and section.std is None,
    )


def index_labels(labels: Samples, names: Sequence[str], where: str) -> tuple[Labels, tuple[str, ...]]:
    """Return labels as class indexes, and the classes' names, sorted (integers by value) unless `names` are given.

    Raises:
        EdgemlError: A label is no integer, no text, or outside `names`.
    """
    if labels.dtype.kind not in "iuUb":
        mend = "label with integers or texts"
        raise EdgemlError(f"labels are {labels.dtype}", where=where, mend=mend)
    if not names or labels.dtype.kind == "U":
        found, indexes = np.unique(labels, return_inverse=True)
        if not names:
            return indexes.astype(np.int64), tuple(str(n) for n in found)
        unknown = sorted(set(found.tolist()) - set(names))
        if unknown:
            mend = f"choose one of {', '.join(names)}"
            raise EdgemlError(f"no such class: {unknown[0]}", where=where, mend=mend)
        order = {name: i for i, name in enumerate(names)}
        return np.array([order[n] for n in found.tolist()], np.int64)[indexes], tuple(names)
    whole = labels.astype(np.int64)
    if len(whole) and not (whole.min() >= 0 and whole.max() < len(names)):
        wrong = int(whole[(whole < 0) | (whole >= len(names))][0])
        raise EdgemlError(f"label {wrong}, but {len(names)} classes", where=where, mend="count classes from 0")
    return whole, tuple(names)


def image_preprocessing(section: DataSection) -> Preprocessing:
    """Return how images become inputs: 0 to 1 unless the project file says otherwise."""
    return Preprocessing(
        kind="image",
        size=section.size,
        scale=section.scale or IMAGE_SCALE,
        mean=section.mean or (0.0,),
        std=section.std or (1.0,),
        colour=section.colour,
        layout=section.layout,
    )


def array_preprocessing(section: DataSection) -> Preprocessing:
    """Return how arrays become inputs; where the project file has no mean and deviation, the dataset adds its own."""
    return Preprocessing(scale=section.scale or 1.0, mean=section.mean or (0.0,), std=section.std or (1.0,))


def stored_image(image: Samples, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return an image (height, width[, channels]) in its colours and size, uint8: the form that a dataset stores."""
    coloured = preprocessing.coloured(image)
    if preprocessing.size is not None and coloured.shape[:2] != preprocessing.size:
        coloured = np.clip(np.rint(resize(coloured, preprocessing.size)), 0, 255)
    return coloured.astype(np.uint8)


def batch_length(sample_bytes: int) -> int:
    """Return how many samples a batch of `BATCH_BYTES` holds, 1 at least."""
    return max(1, BATCH_BYTES // max(1, sample_bytes))


def _slices(inputs: Samples) -> Iterator[Samples]:
    step = batch_length(inputs.nbytes // max(1, len(inputs)))
    for start in range(0, len(inputs), step):
        yield inputs[start : start + step]


def _images(inputs: Samples, preprocessing: Preprocessing) -> Iterator[Samples]:
    for batch in _slices(inputs):
        yield np.stack([stored_image(image, preprocessing) for image in batch])
