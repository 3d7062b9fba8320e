"""Durable writes and hashes: a file is whole or not there, also after a power cut."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from edgeml_targets.contract.errors import NotWritten

CHUNK_BYTES: Final = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits, reading it in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; a rename is not, until its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Yield a file to write; when the block ends well it takes the place of `path`, whole and durable.

    When the block raises, `path` is as it was and nothing is left beside it. Missing folders are made. The file has the
    permissions `mode` before anybody can see it under its name: 0o600 for a secret.

    Raises:
        NotWritten: The disk is full or the folder cannot be written to.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with told(path), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with told(path):
            temporary.chmod(mode)
            temporary.replace(path)
            fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: bytes | memoryview, *, mode: int = 0o644) -> None:
    """Replace `path` by `content`, whole and durable: temporary file, fsync, rename, fsync of the folder.

    Raises:
        NotWritten: The disk is full or the folder cannot be written to.
    """
    with replacing(path, mode=mode) as file:
        file.write(content)


def write_new(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file that must not be there yet, whole and durable; of several that try at once one succeeds.

    Raises:
        FileExistsError: It is there; it is left as it is.
        NotWritten: The disk is full or the folder cannot be written to.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    write_atomic(draft, content, mode=mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        with told(path):
            raise
    finally:
        draft.unlink()
    fsync_folder(path.parent)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Translate the operating system's refusal to write `path` into an error that names it and the way out.

    Raises:
        NotWritten: The block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        mend = "free some space" if error.errno == 28 else "make its folder writable or choose another"
        raise NotWritten(f"cannot be written: {reason}", where=str(path), mend=mend) from error
