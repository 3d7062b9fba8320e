"""The address of a device, and what an error that came over ssh says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.flash.ssh import Host, _command, _error, parse_host
from edgeml_targets.contract.errors import EdgemlError

PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(lambda part: part not in (".", ".."))
NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,8}", fullmatch=True)


@given(user=st.one_of(st.just(""), PART), host=NAME, port=st.integers(0, 65535), folder=st.lists(PART, min_size=1))
def test_an_address_is_read_back(user: str, host: str, port: int, folder: list[str]) -> None:
    made = Host(user, host, port, "/".join(folder))
    assert parse_host(str(made)) == made


@given(text=st.text(max_size=30))
def test_whatever_is_written_it_is_an_address_or_refused(text: str) -> None:
    try:
        host = parse_host(f"ssh://{text}")
    except EdgemlError as error:
        assert "ssh://" in str(error)
    else:
        words = _command(host, "true")
        assert words[-2] == host.host and words[-3] == "--"  # nothing of it can become an option
        assert not host.user.startswith("-")


@pytest.mark.parametrize(
    "address",
    ["ssh://", "ssh://host:0", "ssh://host:65536", "ssh://-oProxyCommand=x", "ssh://-F@host", "ssh://a b", "pi@host"],
)
def test_no_address_is_refused(address: str) -> None:
    with pytest.raises(EdgemlError, match="no ssh address"):
        parse_host(address)


@pytest.mark.parametrize("folder", [".", "..", "a/../..", "//", "a b", "$(reboot)", "a;b", "x%n"])
def test_no_folder_is_refused(folder: str) -> None:
    with pytest.raises(EdgemlError, match="no folder for a device"):
        parse_host(f"ssh://host/{folder}")


def test_home_and_root() -> None:
    assert parse_host("ssh://host/~/cam").folder == "cam"
    assert parse_host("ssh://host//opt/cam/").folder == "/opt/cam"
    assert parse_host("ssh://host/").folder == "edgeml"
    assert parse_host("ssh://[fe80::1]:22").host == "fe80::1"


def test_an_error_is_the_refusal_else_the_cause() -> None:
    host = Host("pi", "cam", 0, "edgeml")
    refusal = _error(host, 1, "noise\nedgeml: its agent runs; really; stop it\n")
    assert (refusal.what, refusal.mend) == ("its agent runs; really", "stop it")
    full = _error(host, 2, "tar: a: Cannot write: No space left on device\ntar: Exiting with failure status\n")
    assert full.what.startswith("tar: a") and full.mend == "free some space there, then flash again"
    assert _error(host, 255, "banner\nssh: connect to host cam: No route to host").what.endswith("No route to host")
    assert _error(host, 3, "").what == "no reason given"
