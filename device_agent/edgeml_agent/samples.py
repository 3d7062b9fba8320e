"""Samples as they come in: the bytes of an NPY file or an image become an array, or an error that says what is wrong.

What comes in is hostile: nothing is unpickled, and no size is believed before it is compared with the bytes at hand.
"""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing

Raw = npt.NDArray[Any]

MOST_SAMPLE_BYTES: Final = 16 << 20  # of one request or file
MOST_PIXELS: Final = 16 << 20  # of one image, unpacked
SUFFIXES: Final = (".npy", ".png", ".jpg", ".jpeg")
_NUMBERS: Final = "uif"  # kinds of numpy types: unsigned, signed, floating
_CHANNELS: Final = (1, 3, 4)
_IMAGE_MODES: Final = {
    "1": "L",
    "L": "L",
    "LA": "L",
    "P": "RGB",
    "RGB": "RGB",
    "RGBA": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}
_SEND: Final = "send an NPY file, a PNG or a JPEG"


def read_sample(content: bytes, *, where: str) -> Raw:
    """Return the array that `content` holds: numbers as they are, pixels as uint8 (height, width[, 3]).

    Args:
        content: An NPY file, a PNG or a JPEG, whole; what it is is told by its first bytes.
        where: Names it in errors.

    Raises:
        EdgemlError: It is none of these, cut off, or holds something else than numbers.
    """
    if content.startswith(b"\x93NUMPY"):
        return _read_npy(content, where)
    if content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        return _read_image(content, where)
    raise EdgemlError("neither NPY nor PNG nor JPEG" if content else "nothing in it", where=where, mend=_SEND)


def split_stack(sample: Raw, preprocessing: Preprocessing, rank: int, *, where: str) -> Raw:
    """Return one raw sample or a stack of them as a stack, (samples, ...).

    Args:
        sample: Pixels (height, width), (height, width, 1, 3 or 4) or a stack of either; or numbers of the input's rank,
            or a stack of them. An image that is floating point counts as numbers: it is preprocessed already.
        preprocessing: The bundle's.
        rank: The rank of one input, without its batch axis.
        where: Names it in errors.

    Raises:
        EdgemlError: It is empty, or of another rank.
    """
    if preprocessing.kind == "image" and sample.dtype.kind != "f":
        if sample.dtype != np.uint8:
            raise EdgemlError(f"pixels are {sample.dtype}, uint8 is asked", where=where, mend="send 0 to 255 as uint8")
        one = sample.ndim == 2 or (sample.ndim == 3 and sample.shape[-1] in _CHANNELS)
        stack = sample.ndim == 3 or (sample.ndim == 4 and sample.shape[-1] in _CHANNELS)
        asked = "(height, width), (height, width, channels) or a stack of these"
    else:
        one, stack = sample.ndim == rank, sample.ndim == rank + 1
        asked = f"{rank} axes, or {rank + 1} for a stack"
    if not (one or stack):
        raise EdgemlError(f"its shape is {sample.shape}, asked is {asked}", where=where, mend="send it in that shape")
    if sample.size == 0:
        raise EdgemlError(f"its shape is {sample.shape}: nothing in it", where=where, mend="send a sample or more")
    return sample[None] if one else sample


def _read_npy(content: bytes, where: str) -> Raw:
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} of NPY is not read here")
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except (ValueError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError) as error:
        raise EdgemlError(f"no NPY file: {error}", where=where, mend="write it with numpy.save") from error
    if dtype.kind not in _NUMBERS:
        raise EdgemlError(f"it holds {dtype}, asked are numbers", where=where, mend="convert it before saving")
    held, asked = len(content) - file.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or held != asked:
        raise EdgemlError(f"{asked} bytes belong in it, {held} are there", where=where, mend="send the file whole")
    flat = np.frombuffer(content, dtype, math.prod(shape), file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_image(content: bytes, where: str) -> Raw:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise EdgemlError(
            "images cannot be read here: Pillow is not installed",
            where=where,
            mend="pip install edgeml[images], or send an NPY file",
        ) from error
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                raise EdgemlError(
                    f"{image.width} x {image.height} pixels, at most {MOST_PIXELS:,} are read",
                    where=where,
                    mend="send it smaller",
                )
            if image.mode not in _IMAGE_MODES:
                raise EdgemlError(f"its pixels are {image.mode}", where=where, mend="save it with 8 bits a channel")
            return np.asarray(image.convert(_IMAGE_MODES[image.mode]))
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise EdgemlError(f"no readable image: {error}", where=where, mend="send the file whole") from error


def finite(ready: npt.NDArray[np.float32], *, where: str) -> npt.NDArray[np.float32]:
    """Return `ready` as it is.

    Raises:
        EdgemlError: A value is not finite (or became so in float32).
    """
    if not np.isfinite(ready).all():
        raise EdgemlError("it holds NaN or infinity", where=where, mend="send finite numbers")
    return ready
