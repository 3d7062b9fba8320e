"""References and class names of releases, read from the bundles in `fleet/bundles/`, which their hash names."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from edgeml.server.tables import BUNDLES
from edgeml_targets.contract.bundle import Manifest, read_manifest
from edgeml_targets.contract.errors import EdgemlError


class Bundles:
    """The bundles in a folder; each is read once, for a bundle never changes."""

    def __init__(self, folder: Path) -> None:
        self._read = functools.lru_cache(maxsize=64)(functools.partial(_read_manifest, folder))

    def manifests(self, connection: sa.Connection, release: str) -> Mapping[str, Manifest]:
        """Return the manifest of each target's bundle of a release; one that is not there or unreadable is left out."""
        rows = connection.execute(sa.select(BUNDLES.c.target, BUNDLES.c.sha256).where(BUNDLES.c.release == release))
        found = {target: self._read(sha256) for target, sha256 in rows}
        return {target: manifest for target, manifest in found.items() if manifest is not None}


def _read_manifest(folder: Path, sha256: str) -> Manifest | None:
    try:
        return read_manifest(folder / sha256)
    except EdgemlError:
        return None  # the page goes on and says that the reference is missing
