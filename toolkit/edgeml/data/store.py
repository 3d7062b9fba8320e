"""NPY files, written in order and read as they are needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError


def npy_bytes(array: npt.NDArray[Any]) -> bytes:
    """Return an array as the bytes of an NPY file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


@contextmanager
def growing_npy(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Iterator[Callable[[npt.NDArray[Any]], None]]:
    """Yield a function that appends a batch (some, *shape) to an NPY file; how many there are is written at the end.

    Written front to back, since a memory map on a full disk ends the process with SIGBUS instead of an error.
    """
    rows = 0

    def append(batch: npt.NDArray[Any]) -> None:
        nonlocal rows
        if len(batch):
            file.write(np.ascontiguousarray(batch, dtype).data)
            rows += len(batch)

    with path.open("wb") as file:
        _write_header(file, (0, *shape), dtype)
        begins = file.tell()
        yield append
        file.seek(0)
        _write_header(file, (rows, *shape), dtype)
        if file.tell() != begins:  # numpy leaves room for 21 digits of the first axis
            raise ValueError(f"{path}: {rows} rows need a longer header")


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def open_npy(path: Path) -> npt.NDArray[Any]:
    """Return an array of the workspace, mapped into memory and read only.

    Raises:
        EdgemlError: It is missing or was cut.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        mend = "delete the folder .edgeml, it is built again"
        raise EdgemlError("a file of the workspace is damaged", where=str(path), mend=mend) from error
