"""A folder of images: a class a folder, sorted by name; files anywhere below it, sorted by path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml.data.sources import Raw, Samples, Source, batch_length, image_preprocessing, stamp_of, stored_image
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing

SUFFIXES: Final = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def read_image(file: Path) -> npt.NDArray[np.uint8]:
    """Return an image's pixels, uint8 (height, width) or (height, width, 3); transparency is dropped.

    Raises:
        EdgemlError: It is no image, or one so large that it must be meant ill.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            grey = image.mode in ("1", "L", "I;16", "I", "LA")
            return np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EdgemlError("no image that can be read", where=str(file), mend="replace it or take it away") from error


def image_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the images of each class: a class a folder, both sorted by name; hidden files and folders are left out.

    Raises:
        EdgemlError: No folder holds an image.
    """
    found = {
        below.name: sorted(
            f for f in below.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file() and not f.name.startswith(".")
        )
        for below in sorted(folder.iterdir())
        if below.is_dir() and not below.name.startswith(".")
    }
    filled = {name: files for name, files in found.items() if files}
    if not filled:
        raise EdgemlError("no folder in it holds an image", where=str(folder), mend="make a folder a class")
    return filled


def _stamp(section: DataSection, root: Path) -> str:
    return stamp_of([f for files in image_folders(root / section.source).values() for f in files])


def _read(section: DataSection, root: Path) -> Raw:
    folders = image_folders(root / section.source)
    files = [file for found in folders.values() for file in found]
    preprocessing = image_preprocessing(section)
    return Raw(
        batches=_batches(files, preprocessing),
        labels=np.repeat(np.arange(len(folders)), [len(found) for found in folders.values()]).astype(np.int64),
        classes=tuple(folders),
        preprocessing=preprocessing,
        place=lambda i: str(files[i]),
    )


def _batches(files: Sequence[Path], preprocessing: Preprocessing) -> Iterator[Samples]:
    first = stored_image(read_image(files[0]), preprocessing)
    step = batch_length(first.nbytes)
    for start in range(0, len(files), step):
        batch = np.empty((len(files[start : start + step]), *first.shape), np.uint8)
        for i, file in enumerate(files[start : start + step]):
            image = stored_image(read_image(file), preprocessing)
            if image.shape != first.shape:
                what = (
                    f"{image.shape[0]} x {image.shape[1]} pixels, the first one has {first.shape[0]} x {first.shape[1]}"
                )
                raise EdgemlError(what, where=str(file), mend="give [data] a size, then all are resized to it")
            batch[i] = image
        yield batch


SOURCE = Source(accepts=lambda source, path: path.is_dir(), stamp=_stamp, read=_read)
