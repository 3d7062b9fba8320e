"""A device's identity is whole, readable by its owner only, and never in a log."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import pytest

from edgeml_agent.identity import FILE, Identity, read_identity, write_identity
from edgeml_targets.contract.errors import EdgemlError


def test_it_is_read_as_it_was_written_and_is_for_its_owner_only(tmp_path: Path, offline: Identity) -> None:
    file = write_identity(tmp_path, offline)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_identity(tmp_path) == offline


def test_its_secret_is_not_in_its_representation(offline: Identity) -> None:
    assert "secret" not in repr(offline)


def test_a_folder_without_one_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"identity\.json: no identity here; .*edgeml flash"):
        read_identity(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "Cam 1"),
        ("broker_port", 0),
        ("fleet_key", "abc"),
        ("window_s", 0),
        ("target", "../x"),
        ("token", None),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, offline: Identity, field: str, value: object) -> None:
    fields = msgspec.to_builtins(offline)
    (tmp_path / FILE).write_bytes(msgspec.json.encode({**fields, field: value}))
    with pytest.raises(EdgemlError, match=field):
        read_identity(tmp_path)
