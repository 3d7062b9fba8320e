"""DATA on the command line: an NPY, an NPZ or a folder of images becomes samples that a model takes.

An array's first axis counts samples. A sample whose rank is the input's is fed as it is; one whose rank is one less
gets a batch axis in front. Images are RGB, 0 to 1, resized, laid out as the input's shape asks; a file says otherwise.
What is large stays on the disk: an NPY where it is, all else in a temporary file.
"""

from __future__ import annotations

import itertools
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pydantic
from pydantic import Field

from edgeml.data.sources.images import image_folders, read_image
from edgeml.data.sources.npz import BROKEN
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import CHUNK_BYTES
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.stored import Rows, Stored, blocks, open_npy, spooled, write_samples
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.target import Described

Arrays = dict[str, Rows]
Labels = npt.NDArray[np.integer[Any]]
Floats = tuple[Annotated[float, Field(allow_inf_nan=False)], ...]

LEAST_SAMPLES: Final = 6  # one to validate on, two to evaluate on, three to draw ranges from
EVALUATION_SHARE: Final = 3  # one of three is held back
VALIDATION_SHARE: Final = 4  # of the rest, one of four sets no ranges
MOST_HELD_BYTES: Final = 64 << 20
"""Of an array: a larger one stays on the disk, so that memory does not grow with samples. In memory a sample costs no reading."""
NPY: Final = b"\x93NUMPY"
ZIP: Final = b"PK"


class Preprocess(Described):
    """What `--preprocess` may say; a key that is missing is as the input's shape asks.

    Args:
        size: Height and width in pixels.
        scale: What each value is multiplied with first; 1/255 brings pixels to 0 to 1.
        mean, std: One entry, or one a channel, in scaled units.
        colour: Order and number of channels.
        layout: Where channels go, `chw` or `hwc`.
    """

    size: tuple[Annotated[int, Field(ge=1, le=8192)], Annotated[int, Field(ge=1, le=8192)]] | None = None
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    mean: Floats | None = None
    std: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] | None = None
    colour: Literal["rgb", "bgr", "grey"] | None = None
    layout: Literal["chw", "hwc"] | None = None


@dataclass(frozen=True)
class Data:
    """Samples as a model takes them.

    Args:
        samples: An array an input; the first axis counts samples, the same number in each.
        labels: Classes, (samples,), counted from 0; `None` where there are none.
        preprocessing: What was done to each; `None` where samples are fed as they were given.
    """

    samples: Arrays
    labels: Labels | None
    preprocessing: Preprocessing | None

    def part(self, rows: npt.NDArray[np.intp]) -> Arrays:
        """Return the samples of `rows`."""
        return {name: array[rows] for name, array in self.samples.items()}

    def labels_of(self, rows: npt.NDArray[np.intp]) -> Labels | None:
        """Return the labels of `rows`."""
        return None if self.labels is None else self.labels[rows]


@dataclass(frozen=True)
class Shares:
    """Which samples are for what: indices, ascending, disjoint, together all."""

    ranges: npt.NDArray[np.intp]
    validation: npt.NDArray[np.intp]
    evaluation: npt.NDArray[np.intp]


def read_data(
    data: Path, inputs: Sequence[Tensor], *, labels: Path | None = None, preprocess: Path | None = None
) -> Data:
    """Read DATA for a model.

    Args:
        data: An NPY for a model with one input; an NPZ with an array an input; a folder of images, a class a folder.
        inputs: The model's inputs.
        labels: An NPY of integers, a class a sample.
        preprocess: TOML, see `Preprocess`.

    Raises:
        EdgemlError: A file is missing or of another kind; samples are too few, of another shape or type, or not finite;
            labels are not as many as samples, or of one class only.
    """
    wanted = _read_preprocess(preprocess) if preprocess is not None else None
    given: Labels | None = None
    if data.is_dir():
        images = _image_preprocessing(inputs, wanted or Preprocess(), data)
        samples, given = _read_images(data, inputs[0], images)
        preprocessing: Preprocessing | None = images
    else:
        arrays = _read_arrays(data, inputs)
        preprocessing = _array_preprocessing(inputs, arrays, wanted, data)
        if preprocessing is not None:
            arrays = {name: _preprocessed(array, preprocessing, data) for name, array in arrays.items()}
        samples = {t.name: _fitted(arrays[t.name], t, data) for t in inputs}
    count = _count(samples, data)
    if labels is not None:
        given = _read_labels(labels, count)
    return Data(samples, given, preprocessing)


def hold_back(count: int, labels: Labels | None = None, *, seed: int = 0) -> Shares:
    """Share samples out: a third is held back; of the rest a quarter validates. Stratified where there are labels.

    Samples are drawn in an order that `seed` gives, sorted by class; every third of that order is held back, so each
    class gives its third within one sample.
    """
    drawn = np.random.default_rng(seed).permutation(count)
    if labels is not None:
        drawn = drawn[np.argsort(labels[drawn], kind="stable")]
    held = np.zeros(count, np.bool_)
    held[EVALUATION_SHARE - 1 :: EVALUATION_SHARE] = True
    rest = drawn[~held]
    validates = np.zeros(len(rest), np.bool_)
    validates[VALIDATION_SHARE - 1 :: VALIDATION_SHARE] = True
    return Shares(np.sort(rest[~validates]), np.sort(rest[validates]), np.sort(drawn[held]))


def in_words(preprocessing: Preprocessing | None) -> str:
    """Return what is done to an image, in words: "RGB, 32 x 32 pixels, times 0.00392, chw"; empty for arrays as given."""
    if preprocessing is None:
        return ""
    parts = [preprocessing.colour if preprocessing.colour == "grey" else preprocessing.colour.upper()]
    if preprocessing.size is not None:
        parts.append(f"{preprocessing.size[0]} x {preprocessing.size[1]} pixels")
    parts.append(f"times {preprocessing.scale:.4g}")
    if any(preprocessing.mean) or any(s != 1 for s in preprocessing.std):
        mean, std = (", ".join(f"{v:g}" for v in values) for values in (preprocessing.mean, preprocessing.std))
        parts.append(f"minus {mean}, over {std}")
    return ", ".join([*parts, preprocessing.layout])


def _read_preprocess(path: Path) -> Preprocess:
    try:
        return Preprocess(**tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise EdgemlError("no such file", where=str(path), mend="check the path") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EdgemlError(f"cannot be read: {error}", where=str(path), mend="correct it") from error
    except pydantic.ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"]))
        mend = f"known keys: {', '.join(Preprocess.model_fields)}"
        raise EdgemlError(f"{key}: {wrong['msg']}", where=str(path), mend=mend) from error


def _read_arrays(path: Path, inputs: Sequence[Tensor]) -> Arrays:
    """Return an array an input; that of an NPY and large ones of an NPZ are not read yet."""
    try:
        with path.open("rb") as file:
            head = file.read(len(NPY))
        if head == NPY:
            if len(inputs) != 1:
                what = f"one array, and the model has inputs {', '.join(t.name for t in inputs)}"
                raise EdgemlError(what, where=str(path), mend="give an NPZ with an array of each of these names")
            return {inputs[0].name: _read_npy(path)}
        if head.startswith(ZIP):
            with np.load(path, allow_pickle=False) as archive:
                missing = [t.name for t in inputs if t.name not in archive.files]
                if missing:
                    what = f"no array {missing[0]}, there are {', '.join(archive.files) or 'none'}"
                    raise EdgemlError(what, where=str(path), mend="name the arrays as the model's inputs are named")
                return {t.name: _read_member(archive, t.name, path) for t in inputs}
    except FileNotFoundError as error:
        raise EdgemlError("no such file or folder", where=str(path), mend="check the path") from error
    except BROKEN as error:
        raise EdgemlError(f"cannot be read: {error}", where=str(path), mend="write it again with numpy.save") from error
    raise EdgemlError(
        "neither NPY nor NPZ nor a folder", where=str(path), mend="write samples with numpy.save or numpy.savez"
    )


def _read_npy(path: Path) -> Rows:
    with path.open("rb") as file:
        stored = open_npy(file, str(path))
    return np.load(path, mmap_mode="r", allow_pickle=False) if stored is None else stored


def _read_member(arrays: np.lib.npyio.NpzFile, name: str, path: Path) -> Rows:
    """Return an array of an NPZ; a large one from a copy on the disk, since of a packed one no sample is found alone."""
    stored = None
    with zipfile.ZipFile(path) as archive:
        member = archive.NameToInfo.get(f"{name}.npy")
        if member is not None and member.file_size > MOST_HELD_BYTES:
            with archive.open(member) as content, spooled(iter(lambda: content.read(CHUNK_BYTES), b"")) as file:
                stored = open_npy(file, str(path))
    found = arrays[name] if stored is None else stored
    if not isinstance(found, (np.ndarray, Stored)):
        raise ValueError(f"{name} is no array")
    return found


def _image_preprocessing(inputs: Sequence[Tensor], wanted: Preprocess, where: Path) -> Preprocessing:
    """Return how images become the model's one input: what is wanted, else what the input's shape asks.

    Raises:
        EdgemlError: The model takes no image, or one of any size and none is given.
    """
    shape = inputs[0].shape if len(inputs) == 1 and np.dtype(inputs[0].dtype).kind == "f" else ()
    axes = shape[-3:] if len(shape) in (3, 4) else ()
    layout = wanted.layout or ("chw" if axes and axes[0] in (1, 3) else "hwc" if axes and axes[2] in (1, 3) else None)
    if not axes or layout is None:
        what = f"images, and the model takes {', '.join(f'{t.name} {list(t.shape)}' for t in inputs)}"
        raise EdgemlError(what, where=str(where), mend="give an NPY or NPZ with samples as the model takes them")
    channels, size = (axes[0], axes[1:]) if layout == "chw" else (axes[2], axes[:2])
    if wanted.size is None and -1 in size:
        what = "the model takes images of any size"
        raise EdgemlError(what, where=str(where), mend="say which: --preprocess with size = [HEIGHT, WIDTH]")
    return Preprocessing(
        kind="image",
        size=wanted.size or (size[0], size[1]),
        scale=1 / 255 if wanted.scale is None else wanted.scale,
        mean=wanted.mean or (0.0,),
        std=wanted.std or (1.0,),
        colour=wanted.colour or ("grey" if channels == 1 else "rgb"),
        layout=layout,
    )


def _array_preprocessing(
    inputs: Sequence[Tensor], arrays: Mapping[str, Rows], wanted: Preprocess | None, where: Path
) -> Preprocessing | None:
    """Return what is done to arrays: nothing unless it is asked for; uint8 arrays of images are then taken as images."""
    if wanted is None:
        return None
    only = next(iter(arrays.values()))
    if only.dtype == np.uint8:
        return _image_preprocessing(inputs, wanted, where)
    if wanted.size is not None or wanted.colour is not None or wanted.layout is not None:
        what = f"size, colour and layout are for images, and these are arrays of {only.dtype}"
        raise EdgemlError(what, where=str(where), mend="give uint8 images, or leave these keys out")
    return Preprocessing(scale=wanted.scale or 1.0, mean=wanted.mean or (0.0,), std=wanted.std or (1.0,))


def _preprocessed(array: Rows, preprocessing: Preprocessing, where: Path) -> Rows:
    try:
        if array.ndim == 0 or len(array) == 0:
            return preprocessing.stack(np.asarray(array))
        return _gathered((preprocessing.stack(block) for block in blocks(array)), len(array))
    except ValueError as error:
        raise EdgemlError(str(error), where=str(where), mend="give samples that fit --preprocess") from error


def _read_images(folder: Path, tensor: Tensor, preprocessing: Preprocessing) -> tuple[Arrays, Labels | None]:
    folders = image_folders(folder)
    files = [file for found in folders.values() for file in found]
    samples = _gathered((preprocessing(read_image(file))[None] for file in files), len(files))
    labels = np.repeat(np.arange(len(folders)), [len(found) for found in folders.values()])
    # The images of a single folder are samples without labels: there is nothing to tell apart.
    return {tensor.name: _fitted(samples, tensor, folder)}, labels if len(folders) > 1 else None


def _gathered(parts: Iterator[npt.NDArray[Any]], count: int) -> Rows:
    """Return `count` samples, one or more, which come part by part, as one array: on the disk where it is large."""
    first = next(parts)
    large = first.nbytes * count > MOST_HELD_BYTES * len(first)
    parts = itertools.chain([first], parts)
    return write_samples(parts) if large else np.concatenate(list(parts))


def _fitted(array: Rows, tensor: Tensor, where: Path) -> Rows:
    """Return samples in the input's element type.

    Raises:
        EdgemlError: Their shape or type does not fit, or one is not finite.
    """
    shape, rank = array.shape[1:], len(tensor.shape)
    if array.ndim > 0 and len(array) > 0 and array.size == 0:
        what = f"there are none: samples of shape {list(shape)} hold no value"
        raise EdgemlError(what, where=str(where), mend="give samples with values")
    as_batch = (1, *shape) if len(shape) == rank - 1 else shape
    if array.ndim == 0 or not _fits(as_batch, tensor.shape):
        raise _misfit(shape, tensor, where)
    if not np.can_cast(array.dtype, tensor.dtype, casting="same_kind"):
        what = f"samples of {_type_name(array.dtype)} do not fit input {tensor.name} of {tensor.dtype}"
        raise EdgemlError(what, where=str(where), mend="give samples of the model's element type")
    if array.dtype.kind == "f":
        broken = next((i for i, sample in enumerate(array) if not np.isfinite(sample).all()), None)
        if broken is not None:
            what = f"sample {broken} of {tensor.name} holds a value that is not finite (NaN or infinity)"
            raise EdgemlError(what, where=str(where), mend="replace the value or leave the sample out")
    fitted: Rows = array.astype(tensor.dtype, copy=False)
    return fitted if fitted.nbytes > MOST_HELD_BYTES else np.asarray(fitted)


def _fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for want, size in zip(wanted, shape, strict=True))


def _misfit(shape: tuple[int, ...], tensor: Tensor, where: Path) -> EdgemlError:
    """Return the error for samples of a shape that the input does not take; the way out fits what the shape shows."""
    full, wanted = tensor.shape, ", ".join("any" if size < 0 else str(size) for size in tensor.shape)
    what = f"samples of shape {list(shape)} do not fit input {tensor.name} ({wanted})"
    mend = "give samples of the model's shape, the first axis counting them"
    single = shape[1:] if len(shape) == len(full) and shape[0] == 1 else shape
    if full and full[0] > 1 and _fits(single, full[1:]):
        what = f"input {tensor.name} ({wanted}) takes {full[0]} samples at once, and these are single ones"
        mend = "export the model with a free batch or a batch of 1"
    elif len(single) >= 3 and len(full) == len(single) + 1:
        for to, moved in (
            ("(samples, -1, -3)", (*single[:-3], single[-1], *single[-3:-1])),
            ("(samples, -3, -1)", (*single[:-3], *single[-2:], single[-3])),
        ):
            if _fits(moved, full[1:]):
                mend = f"move the axis of the channels to where the model has it: numpy.moveaxis{to}"
                break
    return EdgemlError(what, where=str(where), mend=mend)


def _type_name(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind in "US" else str(dtype)


def _count(samples: Arrays, where: Path) -> int:
    counts = {name: len(array) for name, array in samples.items()}
    if len(set(counts.values())) != 1:
        what = ", ".join(f"{count} samples of {name}" for name, count in counts.items())
        raise EdgemlError(what, where=str(where), mend="give the same number for every input")
    count = next(iter(counts.values()))
    if count < LEAST_SAMPLES:
        mend = "give some hundreds: a third is held back, and ranges want a hundred"
        raise EdgemlError(f"{count} samples, {LEAST_SAMPLES} are the least", where=str(where), mend=mend)
    return count


def _read_labels(path: Path, count: int) -> Labels:
    try:
        found = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise EdgemlError("no such file", where=str(path), mend="check the path") from error
    except (OSError, ValueError, EOFError) as error:
        raise EdgemlError(f"cannot be read: {error}", where=str(path), mend="write it with numpy.save") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu" or found.ndim != 1:
        what = "no list of integers" if not isinstance(found, np.ndarray) else f"{found.dtype} of shape {found.shape}"
        raise EdgemlError(f"labels are integers, one a sample, not {what}", where=str(path), mend="give classes from 0")
    if len(found) != count:
        raise EdgemlError(f"{len(found)} labels for {count} samples", where=str(path), mend="give one a sample")
    if len(np.unique(found)) < 2:
        raise EdgemlError(
            "the labels are of one class only", where=str(path), mend="give samples of two classes or more"
        )
    return found.astype(np.int64)
