"""What is in the way of measuring a target here, in words that lead on."""

from __future__ import annotations

import msgspec
import pytest

from edgeml_bench import here
from edgeml_bench.machines import machine
from edgeml_targets.target import find_target

VNNI = find_target("x86_64_vnni-onnxruntime")


@pytest.mark.parametrize("features", [(), ("avx2", "avx512f")])
def test_a_processor_without_what_a_target_asks_for_is_an_obstacle(
    features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = msgspec.structs.replace(machine(), features=features)
    monkeypatch.setattr(here, "machine", lambda: lacking)
    monkeypatch.setattr(here.platform, "machine", lambda: "x86_64")
    found = here.obstacle(VNNI)
    assert found is not None
    assert found.where == VNNI.name
    assert "avx512_vnni, avx_vnni" in found.what


@pytest.mark.parametrize("feature", VNNI.cpu_features)
def test_either_kind_of_vnni_will_do(feature: str, monkeypatch: pytest.MonkeyPatch) -> None:
    having = msgspec.structs.replace(machine(), features=("avx2", feature))
    monkeypatch.setattr(here, "machine", lambda: having)
    monkeypatch.setattr(here.platform, "machine", lambda: "x86_64")
    assert here.obstacle(VNNI) is None
