"""Quantizers are found by their files, and each says all that the host needs."""

from __future__ import annotations

import pytest

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.runtimes import runtime_names
from peers.listing import all_quantizers, chosen_quantizers
from peers.venvs import REQUIREMENTS


def test_each_is_meant_for_a_runtime_and_has_an_environment_of_its_own() -> None:
    for quantizer in all_quantizers():
        assert quantizer.runtime in runtime_names()
        assert quantizer.is_ours or (REQUIREMENTS / f"{quantizer.venv}.txt").is_file()


def test_every_runtime_with_a_peer_has_one_of_ours_and_ours_comes_first() -> None:
    found = all_quantizers()
    for runtime in {q.runtime for q in found}:
        assert [q.is_ours for q in found if q.runtime == runtime].index(True) == 0


def test_every_requirement_is_pinned() -> None:
    for path in REQUIREMENTS.glob("*.txt"):
        assert all("==" in line for line in path.read_text().splitlines() if line), path


def test_a_wrong_name_is_told_with_the_nearest() -> None:
    with pytest.raises(EdgemlError, match="did you mean nncf_onnx"):
        chosen_quantizers(["nncf_onx"])


def test_a_fingerprint_is_the_same_twice_and_differs_between_quantizers() -> None:
    prints = [q.fingerprint() for q in all_quantizers()]

    assert prints == [q.fingerprint() for q in all_quantizers()]
    assert len(set(prints)) == len(prints)
