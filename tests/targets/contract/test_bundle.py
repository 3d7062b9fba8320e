"""A bundle is whole, or refused in one line; it comes from outside."""

from __future__ import annotations

import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgeml_targets.contract import bundle as b
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.reference import fit
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    artifact = tmp_path / "net.onnx"
    artifact.write_bytes(rng.bytes(5000))
    inputs, outputs = rng.normal(size=(8, 1, 6, 6)).astype("f4"), rng.normal(size=(8, 3)).astype("f4")
    golden = b.golden_bytes(b.Golden(inputs, outputs))
    manifest = b.Manifest(
        model="m1",
        candidate="int8",
        dataset="d1",
        settings=Settings(target="x86_64-onnxruntime", runtime="onnxruntime"),
        preprocessing=Preprocessing(),
        labels=("a", "b", "c"),
        input=Tensor("x", "float32", (-1, 1, 6, 6)),
        output=Tensor("y", "float32", (-1, 3)),
        artifact=b.member_of(artifact),
        golden=b.describe_bytes(b.GOLDEN, golden),
        reference=fit(inputs, np.full((8, 3), 1 / 3, "f4"), (-2, -1)),
    )
    path = tmp_path / "one.bundle"
    b.write_bundle(path, manifest, artifact, golden)
    return path


def test_what_was_packed_is_unpacked_and_can_be_loaded_again(packed: Path, tmp_path: Path) -> None:
    opened = b.open_bundle(packed, tmp_path / "slot")
    assert opened.golden().inputs.shape == (8, 1, 6, 6)
    assert b.load_bundle(tmp_path / "slot") == opened


def test_the_same_content_gives_the_same_bytes(packed: Path, tmp_path: Path) -> None:
    opened = b.open_bundle(packed, tmp_path / "slot")
    b.write_bundle(tmp_path / "again", opened.manifest, opened.artifact, opened.golden_file.read_bytes())
    assert (tmp_path / "again").read_bytes() == packed.read_bytes()


def test_changed_files_in_a_slot_are_noticed(packed: Path, tmp_path: Path) -> None:
    opened = b.open_bundle(packed, tmp_path / "slot")
    opened.artifact.write_bytes(b"other")
    with pytest.raises(EdgemlError, match="changed"):
        b.load_bundle(tmp_path / "slot")


@pytest.mark.parametrize("at", [0, 10, 100, 1000, -1])
def test_a_truncated_bundle_is_refused_and_leaves_no_half_file(packed: Path, tmp_path: Path, at: int) -> None:
    packed.write_bytes(packed.read_bytes()[:at])
    with pytest.raises(EdgemlError, match="no bundle"):
        b.open_bundle(packed, tmp_path / "slot")
    assert not (tmp_path / "slot" / b.MANIFEST).exists()


def _repacked(packed: Path, change: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in {**members, **change}.items():
            archive.writestr(name, content)
    return packed


def test_another_artifact_than_the_one_described_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="not the file"):
        b.open_bundle(_repacked(packed, {"net.onnx": b"x" * 5000}), tmp_path / "slot")
    assert not (tmp_path / "slot" / "net.onnx").exists()


LEADS_ELSEWHERE = ["../../evil", "/tmp/evil", "a/evil", "a\\evil", "c:evil", ".evil", "", b.MANIFEST, b.GOLDEN]


def _renamed(manifest: b.Manifest, member: str, name: str) -> b.Manifest:
    """Return a manifest whose `artifact` or `golden` has another name."""
    described = msgspec.structs.replace(getattr(manifest, member), name=name)
    return msgspec.structs.replace(manifest, **{member: described})


@pytest.mark.parametrize(
    ("member", "name"),
    [
        *(("artifact", name) for name in LEADS_ELSEWHERE),
        *(("golden", name) for name in LEADS_ELSEWHERE if name != b.GOLDEN),
    ],
)
def test_a_name_that_leads_out_of_the_slot_is_refused_and_nothing_is_written(
    packed: Path, tmp_path: Path, member: str, name: str
) -> None:
    """Both members' contents are right, as hash and size say: the name alone is wrong."""
    opened = b.open_bundle(packed, tmp_path / "slot")
    there = {"artifact": opened.artifact, "golden": opened.golden_file}[member].read_bytes()
    evil = msgspec.json.encode(_renamed(opened.manifest, member, name))
    target = tmp_path / "deep" / "er" / "slot"
    with pytest.raises(EdgemlError, match="no bundle"):
        b.open_bundle(_repacked(packed, {name or "x": there, b.MANIFEST: evil}), target)
    assert not target.exists()
    assert not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("member", ["artifact", "golden"])
def test_a_manifest_in_a_slot_that_names_files_elsewhere_is_refused(packed: Path, tmp_path: Path, member: str) -> None:
    opened = b.open_bundle(packed, tmp_path / "slot")
    source = {"artifact": opened.artifact, "golden": opened.golden_file}[member]
    source.rename(tmp_path / "outside")
    evil = _renamed(opened.manifest, member, "../outside")
    (tmp_path / "slot" / b.MANIFEST).write_bytes(msgspec.json.encode(evil))
    with pytest.raises(EdgemlError, match="no bundle here"):
        b.load_bundle(tmp_path / "slot")


def test_a_member_too_many_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="its members are"):
        b.open_bundle(_repacked(packed, {"note.txt": b"x"}), tmp_path / "slot")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(b.GOLDEN, b"x")
    with pytest.raises(EdgemlError, match="its members are"):
        b.open_bundle(packed, tmp_path / "slot")


def test_a_newer_schema_is_named(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"edgeml\.bundle/9.*update the agent"):
        b.open_bundle(_repacked(packed, {b.MANIFEST: b'{"schema": "edgeml.bundle/9"}'}), tmp_path / "slot")
