"""Releases: signed with the fleet's key, kept in `fleet/releases/`; bundles lie in `fleet/bundles/` under their hashes.

The private key never leaves `fleet/keys/`. A device holds the public one and installs only what it signed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server import rollout
from edgeml.server.stage import number_of
from edgeml.server.store import Store
from edgeml.server.tables import BUNDLES, DEVICES, RELEASES
from edgeml_agent.messages import BundleRef, Release, SignedRelease, decode_release
from edgeml_targets.contract.bundle import Manifest, Member, read_manifest
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import CHUNK_BYTES, replacing, sha256_of, write_new
from edgeml_targets.contract.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY: Final = "release.key"
KEY_BYTES: Final = 32
OWNER_ONLY: Final = 0o600


@dataclass(frozen=True)
class Grounds:
    """What a release rests on.

    Args:
        ledger_head: The hash of the ledger's last record.
        judged_against: The release that the model was compared with, `None` where the fleet ran none: a release that came
            to the fleet meanwhile is not replaced by a model that was never held against it.
        notes: One sentence for people.
        accuracies: The share of right answers on the test split a target, 0 to 1; `None` where it was not measured.
    """

    ledger_head: str
    judged_against: str | None
    notes: str = ""
    accuracies: Mapping[str, float | None] = field(default_factory=dict)


def publish(project: Project, model_id: str, bundles: Mapping[str, Path], grounds: Grounds, *, store: Store) -> Release:
    """Sign a release, keep it and its bundles, and start its rollout; return it.

    Args:
        project: Its fleet key signs.
        model_id: The model's id.
        bundles: A bundle's file a target.
        grounds: What it rests on.
        store: Where the release becomes known.

    Bundles are copied before the release names them, and the release's file is whole before the store knows of it. A
    crash in between leaves files that nothing names, and the number is passed over: what was signed is never signed anew.

    Raises:
        EdgemlError: The fleet runs another release than the model was `judged_against`, or these very artifacts already; a bundle is
            none, or is of another target or model; or something cannot be written.
    """
    if not bundles:
        raise EdgemlError("it has no bundle", where="release", mend="make bundles with edgeml bundle")
    references = {target: _keep(project, target, path, model_id) for target, path in sorted(bundles.items())}
    with store.writing() as connection:
        _need_champion(connection, grounds.judged_against, model_id)
        _need_news(project, connection, references, model_id)
        key = _first_key(project, connection)
        release = Release(
            name=f"r{_last_number(project, connection) + 1}",
            created_at=time.time(),
            model=model_id,
            bundles=references,
            ledger_head=grounds.ledger_head,
            notes=grounds.notes,
        )
        _write_release(release_file(project, release.name), _signed(key, release))
        row = {"name": release.name, "created_at": release.created_at, "model": release.model, "notes": release.notes}
        connection.execute(sa.insert(RELEASES).values(row | {"accuracies": dict(grounds.accuracies)}))
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
    """Return the fleet's private key.

    Raises:
        EdgemlError: Its file is missing or no key. Another key would be one that no device believes.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = _key_file(project)
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        mend = "restore it from a copy: devices believe no other key"
        raise EdgemlError("the fleet's key is missing", where=str(file), mend=mend) from error
    if len(content) != KEY_BYTES:
        raise EdgemlError(f"no key: {len(content)} bytes, not {KEY_BYTES}", where=str(file), mend="restore it")
    return Ed25519PrivateKey.from_private_bytes(content)


def public_key(project: Project, store: Store) -> str:
    """Return the fleet's public key, 64 hex digits: what a device believes. The first use makes it.

    Raises:
        EdgemlError: The key is missing, and releases or devices rely on it; or it cannot be written.
    """
    with store.reading() as connection:
        return _first_key(project, connection).public_key().public_bytes_raw().hex()


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
    return {name: read_release(project, name).ledger_head for name in _release_names(project)}


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
    if not _is_whole(project, sha256):
        with path.open("rb") as source, replacing(bundle_file(project, sha256)) as file:
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
    return BundleRef(f"../bundles/{sha256}", path.stat().st_size, sha256)


def _is_whole(project: Project, sha256: str) -> bool:
    kept = bundle_file(project, sha256)
    return kept.is_file() and sha256_of(kept) == sha256


def _signed(key: Ed25519PrivateKey, release: Release) -> bytes:
    payload = msgspec.json.encode(release)
    return msgspec.msgpack.encode(SignedRelease(payload, key.sign(payload)))


def _write_release(file: Path, content: bytes) -> None:
    try:
        write_new(file, content)
    except FileExistsError as error:
        mend = "release once more; two stores must not share a folder"
        raise EdgemlError("somebody signed a release of this name just now", where=str(file), mend=mend) from error


def _last_number(project: Project, connection: sa.Connection) -> int:
    """Return the highest number that was given, as store or files say: a store that was lost must not give it again."""
    names = [*connection.scalars(sa.select(RELEASES.c.name)), *_release_names(project)]
    return max(map(number_of, names), default=0)


def _release_names(project: Project) -> list[str]:
    return sorted(path.name for path in release_file(project, "x").parent.glob("r*"))


def _need_champion(connection: sa.Connection, judged_against: str | None, model: str) -> None:
    """Raise EdgemlError where the fleet runs another release than the one that `model` was judged against."""
    current = rollout.current_release(connection)
    if current == judged_against:
        return
    row = connection.execute(sa.select(RELEASES).where(RELEASES.c.name == current)).first()
    who = f"{current} ({row.model}{f', {row.notes}' if row.notes else ''})" if row else "no release"
    what = f"the fleet runs {who} meanwhile; it was judged against {judged_against or 'no release'}"
    raise EdgemlError(what, where=model, mend="judge it again: edgeml fleet release")


def _need_news(project: Project, connection: sa.Connection, references: Mapping[str, BundleRef], model: str) -> None:
    """Raise EdgemlError where what the fleet runs, or is being brought to, has the same artifacts and lies here whole."""
    asked = _artifacts(project, {target: reference.sha256 for target, reference in references.items()})
    for name in [rollout.current_release(connection), *(row["release"] for row in rollout.active_rows(connection))]:
        query = sa.select(BUNDLES.c.target, BUNDLES.c.sha256).where(BUNDLES.c.release == name)
        hashes = dict(connection.execute(query).all())
        if all(_is_whole(project, sha256) for sha256 in hashes.values()) and _artifacts(project, hashes) == asked:
            mend = "see edgeml fleet decisions, or make another model with edgeml train"
            raise EdgemlError(f"{name} is this model already, with the same artifacts", where=model, mend=mend)


def _artifacts(project: Project, hashes: Mapping[str, str]) -> dict[str, tuple[str, Member, Settings]]:
    """Return what each target runs: the model, the artifact, and how."""
    found = {target: read_manifest(bundle_file(project, sha256)) for target, sha256 in hashes.items()}
    return {target: (manifest.model, manifest.artifact, manifest.settings) for target, manifest in found.items()}


def _key_file(project: Project) -> Path:
    return project.fleet_folder / "keys" / KEY


def _first_key(project: Project, connection: sa.Connection) -> Ed25519PrivateKey:
    """Return the fleet's key; make it where no release was signed and no device was told of another."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = _key_file(project)
    relied_on = any(connection.execute(sa.select(table).limit(1)).first() for table in (RELEASES, DEVICES))
    if not file.exists() and not relied_on and not _release_names(project):
        with contextlib.suppress(FileExistsError):  # another process was first: two keys would split the fleet
            write_new(file, Ed25519PrivateKey.generate().private_bytes_raw(), mode=OWNER_ONLY)
        file.parent.chmod(0o700)
    return fleet_key(project)
