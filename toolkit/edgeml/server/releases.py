"""Releases: signed with the fleet's key, kept in `fleet/releases/`; bundles lie in `fleet/bundles/` under their hashes.

The private key never leaves `fleet/keys/`. A device holds the public one and installs only what it signed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.store import Store
from edgeml.server.tables import BUNDLES, RELEASES
from edgeml_agent.messages import BundleRef, Release, SignedRelease, decode_release
from edgeml_targets.contract.bundle import Manifest, read_manifest
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import CHUNK_BYTES, replacing, sha256_of, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY: Final = "release.key"
KEY_BYTES: Final = 32
OWNER_ONLY: Final = 0o600


def publish(
    project: Project,
    model_id: str,
    bundles: Mapping[str, Path],
    *,
    ledger_head: str,
    store: Store,
    notes: str = "",
    accuracies: Mapping[str, float | None] | None = None,
) -> Release:
    """Sign a release, keep it and its bundles, and start its rollout; return it.

    Args:
        project: Its fleet key signs.
        model_id: The model's id.
        bundles: A bundle's file a target.
        ledger_head: The hash of the ledger's last record.
        store: Where the release becomes known.
        notes: One sentence for people.
        accuracies: The share of right answers on the test split a target, 0 to 1; `None` where it was not measured.

    Bundles are copied before the release names them, and the release's file is whole before the store knows of it. A
    crash in between leaves files that nothing names, and the number is given again.

    Raises:
        EdgemlError: A bundle is none, or is of another target or model; or something cannot be written.
    """
    if not bundles:
        raise EdgemlError("it has no bundle", where="release", mend="make bundles with edgeml bundle")
    references = {target: _keep(project, target, path, model_id) for target, path in sorted(bundles.items())}
    with store.writing() as connection:
        release = Release(
            name=f"r{_last_number(connection) + 1}",
            created_at=time.time(),
            model=model_id,
            bundles=references,
            ledger_head=ledger_head,
            notes=notes,
        )
        write_atomic(release_file(project, release.name), _signed(fleet_key(project), release))
        row = {"name": release.name, "created_at": release.created_at, "model": release.model, "notes": release.notes}
        connection.execute(sa.insert(RELEASES).values(row | {"accuracies": dict(accuracies or {})}))
        connection.execute(
            sa.insert(BUNDLES),
            [
                {"release": release.name, "target": target, "sha256": ref.sha256, "size_bytes": ref.size_bytes}
                for target, ref in references.items()
            ],
        )
        rollout.start(connection, release.name, project.fleet, now=release.created_at)
    return release


def fleet_key(project: Project) -> Ed25519PrivateKey:
    """Return the fleet's private key, made at its first use.

    Raises:
        EdgemlError: Its file is no key, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = project.fleet_folder / "keys" / KEY
    if not file.exists():
        _make_key(file, Ed25519PrivateKey.generate().private_bytes_raw())
    content = file.read_bytes()
    if len(content) != KEY_BYTES:
        raise EdgemlError(f"no key: {len(content)} bytes, not {KEY_BYTES}", where=str(file), mend="restore it")
    return Ed25519PrivateKey.from_private_bytes(content)


def public_key(project: Project) -> str:
    """Return the fleet's public key, 64 hex digits: what a device believes."""
    return fleet_key(project).public_key().public_bytes_raw().hex()


def read_release(project: Project, name: str) -> Release:
    """Read a release that this project signed.

    Raises:
        EdgemlError: There is none of that name, or its file was changed.
    """
    from cryptography.exceptions import InvalidSignature

    file = release_file(project, name)
    try:
        signed = msgspec.msgpack.decode(file.read_bytes(), type=SignedRelease)
        fleet_key(project).public_key().verify(signed.signature, signed.payload)
    except FileNotFoundError as error:
        raise EdgemlError("no such release", where=name, mend="see edgeml fleet decisions") from error
    except (msgspec.MsgspecError, InvalidSignature) as error:
        raise EdgemlError("its file was changed", where=str(file), mend="restore it, or release anew") from error
    return decode_release(signed, where=str(file))


def release_heads(project: Project) -> dict[str, str]:
    """Return the ledger's head that each kept release carries."""
    names = sorted(path.name for path in release_file(project, "x").parent.glob("r*"))
    return {name: read_release(project, name).ledger_head for name in names}


def release_file(project: Project, name: str) -> Path:
    """Return where a release lies: MessagePack of a `SignedRelease`."""
    return project.fleet_folder / "releases" / name


def bundle_file(project: Project, sha256: str) -> Path:
    """Return where a bundle lies."""
    return project.fleet_folder / "bundles" / sha256


def manifests(project: Project, store: Store, release: str) -> dict[str, Manifest]:
    """Return the manifest of each target's bundle of a release.

    Raises:
        EdgemlError: A bundle is missing.
    """
    with store.reading() as connection:
        found = connection.execute(sa.select(BUNDLES.c.target, BUNDLES.c.sha256).where(BUNDLES.c.release == release))
        hashes = dict(found.all())
    return {target: read_manifest(bundle_file(project, sha256)) for target, sha256 in hashes.items()}


def _keep(project: Project, target: str, path: Path, model: str) -> BundleRef:
    manifest = read_manifest(path)
    if (manifest.settings.target, manifest.model) != (target, model):
        raise EdgemlError(
            f"it is of model {manifest.model} for {manifest.settings.target}, asked is {model} for {target}",
            where=str(path),
            mend="make it again with edgeml bundle",
        )
    sha256 = sha256_of(path)
    kept = bundle_file(project, sha256)
    if not kept.exists():
        with path.open("rb") as source, replacing(kept) as file:
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
    return BundleRef(f"../bundles/{sha256}", path.stat().st_size, sha256)


def _signed(key: Ed25519PrivateKey, release: Release) -> bytes:
    payload = msgspec.json.encode(release)
    return msgspec.msgpack.encode(SignedRelease(payload, key.sign(payload)))


def _last_number(connection: sa.Connection) -> int:
    names = connection.scalars(sa.select(RELEASES.c.name))
    return max((int(name[1:]) for name in names if name[1:].isdigit()), default=0)


def _make_key(file: Path, content: bytes) -> None:
    """Put a key in its place, unless another process was first: two keys would split the fleet."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    write_atomic(draft, content, mode=OWNER_ONLY)
    file.parent.chmod(0o700)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
