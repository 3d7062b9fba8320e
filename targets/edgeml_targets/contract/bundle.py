"""A bundle: one file with everything that a device needs to run an artifact and to know whether it still runs well.

It is a ZIP of exactly three members: `manifest.json`, the artifact, and `golden.npz`. A bundle comes from outside, so
it is read against that list, with limits that hold while reading, and every member's hash.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import CHUNK_BYTES, replacing, sha256_of, write_atomic
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import Reference
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

SCHEMA: Final = "edgeml.bundle/1"
MANIFEST: Final = "manifest.json"
GOLDEN: Final = "golden.npz"
MOST_MANIFEST_BYTES: Final = 8 << 20
MOST_MEMBER_BYTES: Final = 2 << 30
_NOT_IN_A_NAME: Final = (
    "/",
    "\\",
    ":",
    "\0",
)  # a device may run on any system: separators, a drive, the end of a C string
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # a bundle's bytes do not tell when it was packed


class Member(msgspec.Struct, frozen=True):
    """A file of the bundle with its size and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the bundle holds and where it came from.

    Args:
        schema: Name and version of this structure; within a version fields are only added.
        model: The model's id in its workspace.
        candidate: The candidate's name, `int8`.
        dataset: The version of the dataset that the reference and the golden samples are from.
        settings: The target's settings, resolved.
        preprocessing: From a raw sample to an input.
        labels: A name a class, in the order of the output.
        input, output: The artifact's one input and the output that holds the scores.
        artifact, golden: The two other members.
        reference: How inputs and answers looked on the validation split.
        accuracy: The artifact's share of right answers on the test split, 0 to 1, or `None` when not measured.
        made_at: When the model was made, seconds since 1970, UTC; `None` in bundles of before.
    """

    schema: str = SCHEMA
    model: str
    candidate: str
    dataset: str
    settings: Settings
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    input: Tensor
    output: Tensor
    artifact: Member
    golden: Member
    reference: Reference
    accuracy: float | None = None
    made_at: float | None = None


class Golden(msgspec.Struct, frozen=True):
    """Samples whose answers are known: a device tries itself on them before it serves.

    Args:
        inputs: As the network is fed, (samples, ...), float32.
        outputs: What the artifact answered on the host, (samples, classes), float32.
    """

    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]


class Bundle(msgspec.Struct, frozen=True):
    """A bundle that was unpacked and checked: its manifest, and its artifact and golden samples as files."""

    manifest: Manifest
    artifact: Path
    golden_file: Path

    def golden(self) -> Golden:
        """Read the golden samples."""
        with np.load(self.golden_file, allow_pickle=False) as arrays:
            return Golden(arrays["inputs"], arrays["outputs"])


def member_of(path: Path, *, name: str | None = None) -> Member:
    """Describe a file that is to become a member, under its own name or another."""
    return Member(name or path.name, path.stat().st_size, sha256_of(path))


def golden_bytes(golden: Golden) -> bytes:
    """Return golden samples as the bytes of `golden.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, inputs=golden.inputs, outputs=golden.outputs)
    return buffer.getvalue()


def describe_bytes(name: str, content: bytes) -> Member:
    """Describe a member that is held in memory."""
    return Member(name, len(content), hashlib.sha256(content).hexdigest())


def write_bundle(path: Path, manifest: Manifest, artifact: Path, golden: bytes) -> None:
    """Write a bundle whole; the same content gives the same bytes.

    Raises:
        ValueError: The manifest does not describe `artifact` or `golden`.
        EdgemlError: It cannot be written.
    """
    if manifest.artifact != member_of(artifact, name=manifest.artifact.name) or manifest.golden != describe_bytes(
        GOLDEN, golden
    ):
        raise ValueError("the manifest describes other files")
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr(_entry(MANIFEST), msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        with (
            artifact.open("rb") as source,
            archive.open(_entry(manifest.artifact.name), "w", force_zip64=True) as member,
        ):
            while chunk := source.read(CHUNK_BYTES):
                member.write(chunk)
        archive.writestr(_entry(GOLDEN), golden)


def open_bundle(path: Path, into: Path) -> Bundle:
    """Unpack a bundle into the folder `into`, checked against its manifest; files there already are replaced whole.

    Raises:
        EdgemlError: It is no bundle, was written by a newer edgeml, or a member is missing, too many,
            too large, named so that it leads elsewhere, or not the one described.
    """
    mend = "make or fetch the bundle again"
    try:
        with zipfile.ZipFile(path) as archive:
            content = _read(archive, MANIFEST, MOST_MANIFEST_BYTES)
            manifest = _decode_manifest(content, path)
            if (fault := _fault(manifest)) or (fault := _excess(archive, manifest)):
                raise EdgemlError(f"no bundle: {fault}", where=str(path), mend=mend)
            for member in (manifest.artifact, manifest.golden):
                _extract(archive, member, into / member.name)
    except _BROKEN as error:
        raise EdgemlError(f"no bundle: {error}", where=str(path), mend=mend) from error
    write_atomic(into / MANIFEST, content)
    return Bundle(manifest, into / manifest.artifact.name, into / manifest.golden.name)


def read_manifest(path: Path) -> Manifest:
    """Read a bundle's manifest without unpacking it; its members are not checked.

    Raises:
        EdgemlError: It is no bundle, or was written by a newer edgeml.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _decode_manifest(_read(archive, MANIFEST, MOST_MANIFEST_BYTES), path)
    except _BROKEN as error:
        raise EdgemlError(f"no bundle: {error}", where=str(path), mend="make or fetch the bundle again") from error


def load_bundle(folder: Path) -> Bundle:
    """Return the bundle that `open_bundle` unpacked into `folder`.

    Raises:
        EdgemlError: There is none, or its files were changed since.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        if fault := _fault(manifest):
            raise EdgemlError(f"no bundle here: {fault}", where=str(folder), mend="flash the device again")
        whole = all(member_of(folder / m.name) == m for m in (manifest.artifact, manifest.golden))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EdgemlError(f"no bundle here: {error}", where=str(folder), mend="flash the device again") from error
    if not whole:
        raise EdgemlError("the bundle's files were changed", where=str(folder), mend="flash the device again")
    return Bundle(manifest, folder / manifest.artifact.name, folder / manifest.golden.name)


class _Versioned(msgspec.Struct):
    schema: str


_BROKEN: Final = (
    OSError,
    zipfile.BadZipFile,
    KeyError,
    msgspec.MsgspecError,
    EOFError,
    ValueError,
    NotImplementedError,
)


def _decode_manifest(content: bytes, path: Path) -> Manifest:
    schema = msgspec.json.decode(content, type=_Versioned).schema
    if schema != SCHEMA:
        raise EdgemlError(f"its schema is {schema!r}, known is {SCHEMA!r}", where=str(path), mend="update the agent")
    return msgspec.json.decode(content, type=Manifest)


def _fault(manifest: Manifest) -> str:
    """Name what is wrong with the members' names; a name becomes a path, so it must lead nowhere. Empty: nothing."""
    artifact, golden = manifest.artifact.name, manifest.golden.name
    if golden != GOLDEN:
        return f"its golden samples are called {golden!r}, not {GOLDEN!r}"
    if not artifact or artifact.startswith(".") or any(mark in artifact for mark in _NOT_IN_A_NAME):
        return f"the artifact's name {artifact!r} leads out of it"
    if artifact in (MANIFEST, GOLDEN):
        return f"the artifact is called as another member is, {artifact!r}"
    return ""


def _excess(archive: zipfile.ZipFile, manifest: Manifest) -> str:
    """Name what is wrong with the list of members: it is exactly the three. Empty: nothing."""
    expected, there = sorted([MANIFEST, GOLDEN, manifest.artifact.name]), sorted(archive.namelist())
    return "" if there == expected else f"its members are {there[:5]}, not {expected}"


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _read(archive: zipfile.ZipFile, name: str, most_bytes: int) -> bytes:
    with archive.open(name) as member:
        content = member.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"{name} is larger than {most_bytes} bytes")
    return content


def _extract(archive: zipfile.ZipFile, member: Member, to: Path) -> None:
    if member.size_bytes > MOST_MEMBER_BYTES:
        raise ValueError(f"{member.name} is larger than {MOST_MEMBER_BYTES} bytes")
    digest, size = hashlib.sha256(), 0
    with archive.open(member.name) as source, replacing(to) as file:
        while chunk := source.read(min(CHUNK_BYTES, member.size_bytes - size + 1)):
            size += len(chunk)
            digest.update(chunk)
            file.write(chunk)
            if size > member.size_bytes:
                break
        if size != member.size_bytes or digest.hexdigest() != member.sha256:
            raise ValueError(f"{member.name} is not the file that the manifest describes")
