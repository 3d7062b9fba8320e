"""Let files take their places in the folder that a run was asked to fill. The order of the work:

1. Read which files the earlier result there names, and remove the result: it is gone before the first file moves.
2. Remove those files that this run does not make anew: nothing beside the new result looks current and is not.
3. Move the new files to their places, and make the folders durable.

Who publishes writes the new result afterwards: a folder with a result has all that it names.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from edgeml_compress.results import RESULT, CandidateResult, Compression, recipe_file
from edgeml_targets.contract.files import fsync_folder, sha256_of, told


def publish(stage: Path, out: Path, used: Collection[Path] = ()) -> None:
    """Move the files of `stage` to the same places in `out`.

    Args:
        stage: A folder on the same disk.
        out: Its files that an earlier result names are removed, if they are as that result says they are.
        used: Files that stay whatever an earlier result says, such as the model that was read.

    Raises:
        NotWritten: The disk is full or the folder cannot be written to.
    """
    new = {path: out / path.relative_to(stage) for path in sorted(stage.rglob("*")) if path.is_file()}
    kept = {path.resolve() for path in (*new.values(), *used)}
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
        stale = [path for path in _published(out) if path not in kept]
        (out / RESULT).unlink(missing_ok=True)
        fsync_folder(out)
        for path in stale:
            path.unlink()
            _remove_if_empty(path.parent, out)
        for path, place in new.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)
        touched = {out.parent, out, *(path.parent for path in (*stale, *new.values()))}
        for folder in sorted(folder for folder in touched if folder.is_dir()):
            fsync_folder(folder)


def _remove_if_empty(folder: Path, out: Path) -> None:
    """Remove a target's folder in `out` that nothing lies in any more."""
    if folder != out.resolve() and not any(folder.iterdir()):
        folder.rmdir()


def _published(out: Path) -> list[Path]:
    """Return the files of the candidates of the result in `out` that an earlier run put there; none where it is unreadable."""
    try:
        done = msgspec.json.decode((out / RESULT).read_bytes(), type=Compression)
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    found = {(out / c.artifact).resolve(): c for target in done.targets for c in target.candidates}
    inside = [(path, c) for path, c in found.items() if path.is_relative_to(out.resolve())]
    artifacts = [
        path
        for path, c in inside
        if path.is_file()
        and c.sha256 == sha256_of(path) != done.model_sha256  # a float model may be the user's own file
    ]
    return [*artifacts, *(recipe_file(path) for path, c in inside if _has_recipe(path, c))]


def _has_recipe(artifact: Path, candidate: CandidateResult) -> bool:
    """Tell whether the recipe beside an artifact is the candidate's, unchanged."""
    file = recipe_file(artifact)
    return bool(candidate.recipe) and file.is_file() and file.read_bytes() == candidate.recipe.encode()
