"""The workspace `.edgeml/`: folders that are written once, under a name that follows from what they hold.

A folder is built beside its place under a temporary name and moved there whole; so it is complete or not there, and
whoever deletes the workspace loses time, not data.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgeml_targets.contract.files import fsync_folder, told, write_atomic

SCRATCH: Final = ".new-"
IGNORE: Final = b"*\n"


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield an empty folder inside `folder`; what was not published is removed at the end, also what a killed process left.

    Args:
        folder: A folder of the workspace, made when it is missing.

    Raises:
        EdgemlError: The disk is full or the workspace cannot be written to.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        made = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-", dir=folder))
    try:
        with told(folder):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def publish(made: Path, name: str) -> Path:
    """Give a scratch folder its name and return where it lies now; one of that name that is there already stays.

    Raises:
        EdgemlError: The disk is full or the workspace cannot be written to.
    """
    final = made.parent / name
    with told(final):
        _ignore_in_git(made.parent)
        for file in made.iterdir():
            _fsync(file)
        fsync_folder(made)
        made.chmod(0o755)
        try:
            made.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        fsync_folder(made.parent)
    return final


def _ignore_in_git(folder: Path) -> None:
    root = next((parent for parent in (folder, *folder.parents) if parent.name == ".edgeml"), folder)
    if not (root / ".gitignore").exists():
        write_atomic(root / ".gitignore", IGNORE)


def _sweep(folder: Path) -> None:
    """Remove scratch folders whose process is gone."""
    for left in folder.glob(f"{SCRATCH}*"):
        owner = re.match(rf"{re.escape(SCRATCH)}(\d+)-", left.name)
        if owner and not Path("/proc", owner[1]).exists() and Path("/proc/self").exists():
            shutil.rmtree(left, ignore_errors=True)


def _fsync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
