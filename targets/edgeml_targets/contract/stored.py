"""Samples that stay on the disk: an array whose first axis counts samples, read when they are asked for.

Nothing is mapped: what was read of a mapped file counts as the process's own memory from then on. Whoever goes through a
`Stored` sample by sample holds a block of `BLOCK_BYTES`, or one sample where that is more.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import told

BLOCK_BYTES: Final = 1 << 20
READERS: Final = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Rows(Protocol):
    """An array whose first axis counts samples, in memory (`numpy.ndarray`) or on the disk (`Stored`).

    A number as the index gives a sample; a slice, an array of numbers or a mask gives such an array again.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __array__(self) -> npt.NDArray[Any]: ...
    def astype(self, dtype: Any, *, copy: bool = ...) -> Any: ...


class _File:
    """A file of samples, open as long as an array reads from it."""

    def __init__(self, file: IO[bytes], where: str, sample: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._descriptor, self._begin, self._where = os.dup(file.fileno()), file.tell(), where
        weakref.finalize(self, os.close, self._descriptor)
        self.sample, self.dtype = sample, dtype
        self.sample_bytes = math.prod(sample) * dtype.itemsize

    def read(self, first: int, count: int) -> npt.NDArray[Any]:
        """Return consecutive samples; several threads may read at once.

        Raises:
            EdgemlError: The file ends before them, or cannot be read.
        """
        at, left, parts = self._begin + first * self.sample_bytes, count * self.sample_bytes, list[bytes]()
        while left:
            try:
                part = os.pread(self._descriptor, left, at)
            except OSError as error:
                raise EdgemlError(f"cannot be read: {error.strerror}", where=self._where, mend="check it") from error
            if not part:
                mend = "leave it as it is until the work is done"
                raise EdgemlError("the file became shorter while it was read", where=self._where, mend=mend)
            parts.append(part)
            at, left = at + len(part), left - len(part)
        return np.frombuffer(b"".join(parts), self.dtype).reshape(count, *self.sample)


@dataclass(frozen=True, eq=False)
class Stored:
    """An array on the disk, see `Rows`; made by `open_npy` and `write_samples`.

    Args:
        file: Where its samples are.
        rows: Which of the file's samples it has, in this order.
        casts: Element types that samples are cast to as they are read, one after the other.

    Example:
        >>> with Path("x.npy").open("rb") as file:
        ...     x = open_npy(file, "x.npy")
        >>> x[::2].shape, x[3].shape
        ((500, 3, 224, 224), (3, 224, 224))
    """

    file: _File
    rows: npt.NDArray[np.intp]
    casts: tuple[np.dtype[Any], ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples first, as of an array in memory."""
        return (len(self.rows), *self.file.sample)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type of what is read."""
        return self.casts[-1] if self.casts else self.file.dtype

    @property
    def size(self) -> int:
        """How many values it holds."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any, /) -> Any:
        chosen = self.rows[key]
        if chosen.ndim > 1:
            raise IndexError("samples on the disk are chosen by their own axis alone")
        return replace(self, rows=chosen) if chosen.ndim else self._read(int(chosen), 1)[0]

    def __iter__(self) -> Iterator[Any]:
        for block in blocks(self):
            yield from block

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("samples on the disk are in no memory that could be shared")
        found = np.empty(self.shape, self.dtype)
        for first, last in self._runs():
            found[first:last] = self._read(int(self.rows[first]), last - first)
        return found if dtype is None else found.astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return np.asarray, (np.asarray(self),)  # an open file goes to no other process, and a copy would close it

    def astype(self, dtype: npt.DTypeLike, *, copy: bool = False) -> Stored:
        """Return it with another element type; nothing is read yet."""
        return self if self.dtype == dtype else replace(self, casts=(*self.casts, np.dtype(dtype)))

    def _read(self, first: int, count: int) -> npt.NDArray[Any]:
        found = self.file.read(first, count)
        for dtype in self.casts:
            found = found.astype(dtype)
        return found if self.casts else found.copy()  # what lies in bytes cannot be written to

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield the bounds of consecutive samples that are read at once, none of more than `BLOCK_BYTES` but for a single one."""
        if self.size == 0:
            return
        most = max(BLOCK_BYTES // self.file.sample_bytes, 1)
        ends = np.append(np.flatnonzero(np.diff(self.rows) != 1) + 1, len(self))
        first = 0
        for end in ends.tolist():
            for begin in range(first, end, most):
                yield begin, min(begin + most, end)
            first = end


def open_npy(file: IO[bytes], where: str) -> Stored | None:
    """Return the array of an NPY file, which is read on; `None` where its order, type or version are for numpy alone, or samples
    hold nothing.

    Args:
        file: Open at its beginning; it may be closed afterwards.
        where: What errors call it.

    Raises:
        ValueError: It is no NPY, a size is below 0, or it ends too early.
    """
    version = np.lib.format.read_magic(file)
    if version not in READERS:
        return None
    shape, fortran, dtype = READERS[version](file)
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    if fortran or not shape or dtype.hasobject or dtype.itemsize == 0 or 0 in shape[1:]:
        return None
    if os.fstat(file.fileno()).st_size < file.tell() + size:  # before a row is counted: a header may claim any number
        raise ValueError("it ends before the last sample")
    return Stored(_File(file, where, shape[1:], dtype), np.arange(shape[0]))


def write_samples(parts: Iterable[npt.NDArray[Any]]) -> Stored:
    """Return samples as an array on the disk, in a file without a name that is gone with the last array that reads from it.

    Args:
        parts: One or more arrays of samples of one shape and element type, the first axis counting them.

    Raises:
        NotWritten: The folder for temporary files is full.
    """
    forms: list[tuple[int, tuple[int, ...], np.dtype[Any]]] = []

    def written(part: npt.NDArray[Any]) -> bytes:
        forms.append((len(part), part.shape[1:], part.dtype))
        return part.tobytes()

    with spooled(map(written, parts)) as file:
        _, sample, dtype = forms[0]
        return Stored(_File(file, tempfile.gettempdir(), sample, dtype), np.arange(sum(count for count, *_ in forms)))


@contextlib.contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """Yield a file without a name, at its beginning, that holds `chunks`; it is gone with whoever reads from it last.

    Raises:
        NotWritten: The folder for temporary files is full, or cannot be written to; an error of `chunks` stays what it is.
    """
    folder = Path(tempfile.gettempdir())
    with told(folder):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (what reads the chunks must not be told as this folder's fault)
    with file:
        for chunk in chunks:
            with told(folder):
                file.write(chunk)
        with told(folder):
            file.flush()
        file.seek(0)
        yield file


def blocks(array: Rows) -> Iterator[npt.NDArray[Any]]:
    """Yield an array in memory part by part, each of as many samples as `BLOCK_BYTES` hold, or of one."""
    step = max(BLOCK_BYTES * len(array) // max(array.nbytes, 1), 1)
    for first in range(0, len(array), step):
        yield np.asarray(array[first : first + step])


def joined(first: Rows, second: Rows) -> Rows:
    """Return the samples of both; they stay on the disk where both are of one file."""
    if (
        isinstance(first, Stored)
        and isinstance(second, Stored)
        and (first.file, first.casts) == (second.file, second.casts)
    ):
        return replace(first, rows=np.concatenate([first.rows, second.rows]))
    return np.concatenate([np.asarray(first), np.asarray(second)])
