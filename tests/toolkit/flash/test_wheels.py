"""What a device's library holds: for its processor, Python and glibc, and everything that its packages require there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeml.flash.wheels import Python, _download, agent_library, missing, requirements
from edgeml_targets.contract.errors import EdgemlError

PI = Python((3, 11), "aarch64", (2, 36))
JETPACK = Python((3, 10), "aarch64", (2, 35))


def test_tags_end_at_the_device_s_glibc() -> None:
    tags = JETPACK.tags
    assert tags[0] == "manylinux_2_35_aarch64" and tags[-1] == "manylinux2014_aarch64"
    assert "manylinux_2_28_aarch64" in tags and "manylinux_2_36_aarch64" not in tags


def test_requirements_are_the_distribution_s() -> None:
    wanted = requirements(["litert", "images"])
    names = {w.split(">")[0] for w in wanted}
    assert names == {"numpy", "msgspec", "paho-mqtt", "cryptography", "ai-edge-litert", "flatbuffers", "pillow"}
    assert all(">=" in w for w in wanted)
    assert not {"torch", "typer"} & {w.split(">")[0] for w in requirements(["tensorrt"])}


def test_nothing_that_there_is_no_wheel_of_is_found(tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match=r"no wheels for Python 3\.11, glibc 2\.36 on riscv128: .*msgspec"):
        _download(["msgspec"], Python((3, 11), "riscv128", (2, 36)), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("python", [PI, JETPACK], ids=lambda python: python.name)
@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_wheels_for_arm_are_whole(tmp_path: Path, python: Python, runtime: str) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    _download(requirements([runtime, "images"]), python, downloads)
    wheels = sorted(downloads.glob("*.whl"))
    assert missing(wheels, python) == set()
    foreign = [w.name for w in wheels if "aarch64" not in w.name and not w.name.endswith("-any.whl")]
    assert not foreign
    made = tmp_path / "packages"
    made.mkdir()
    library = agent_library(python, [runtime, "images"], kept=tmp_path / "kept", made=made)
    objects = [p for p in library.wheels.rglob("*.so*") if p.is_file()]
    machines = {p.name: p.read_bytes()[18:20] for p in objects}
    assert objects and set(machines.values()) == {b"\xb7\x00"}, "EM_AARCH64 is 183"
    assert (library.packages / "edgeml_agent" / "agent.py").exists()
    assert (
        agent_library(python, [runtime, "images"], kept=tmp_path / "kept", made=_empty(tmp_path)).mark == library.mark
    )


def _empty(root: Path) -> Path:
    (root / "again").mkdir()
    return root / "again"
