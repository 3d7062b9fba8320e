"""An NPZ with the arrays `inputs` (samples, ...) and `labels` (samples,), perhaps `classes`, the classes' names."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml.data.sources import Raw, Source, arrays_as_raw, file_stamp
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError

BROKEN: Final = (
    *(OSError, EOFError, ValueError, KeyError, SyntaxError, tokenize.TokenError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError),
)
"""What numpy and zipfile raise for a file that is none of theirs, is damaged, packed in an unknown way or encrypted, or claims more
than there is memory."""


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an NPZ by name, or the one of an NPY under the name `inputs`; pickles are refused.

    Raises:
        EdgemlError: It cannot be read, or is none.
    """
    mend = "write it with numpy.savez, without objects"
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"inputs": loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise EdgemlError("no such file", where=str(path), mend="check the path") from error
    except BROKEN as error:
        raise EdgemlError("no arrays that can be read", where=str(path), mend=mend) from error


def _read(section: DataSection, root: Path) -> Raw:
    path = root / section.source
    arrays = read_arrays(path)
    for name in ("inputs", "labels"):
        if name not in arrays:
            what = f"no array {name!r}, only {', '.join(sorted(arrays)) or 'none'}"
            raise EdgemlError(what, where=str(path), mend="write inputs (samples, ...) and labels (samples,)")
    names = [str(n) for n in arrays["classes"].ravel()] if "classes" in arrays else []
    return arrays_as_raw(section, arrays["inputs"], arrays["labels"], names, str(path))


SOURCE = Source(accepts=lambda source, path: path.suffix == ".npz" and path.is_file(), stamp=file_stamp, read=_read)
