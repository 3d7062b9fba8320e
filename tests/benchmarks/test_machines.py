"""The fingerprint of a machine, from what real kernels print."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from edgeml_bench import machine
from edgeml_bench.gpus import Gpu, gpus
from edgeml_bench.machines import FEATURES, FEATURES_OF, cpu_features, cpu_name

PI_5 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""
LITTLE = PI_5.replace(" asimdhp", "").replace(" asimddp", "").replace("0xd0b", "0xd03")
XEON = "model name\t: Intel(R)  Xeon(R) Gold\nflags\t\t: fpu avx2 fma avx512f avx512_vnni amx_int8 amx_tile\n"


def test_features_are_named_as_the_kernel_names_them() -> None:
    assert cpu_features(XEON) == ("avx2", "fma", "avx512f", "avx512_vnni", "amx_int8")
    assert cpu_features(PI_5) == ("asimd", "asimdhp", "asimddp")
    assert cpu_features("") == ()


def test_of_unlike_cores_only_what_all_have_counts() -> None:
    assert cpu_features(PI_5 + "\n" + LITTLE) == ("asimd",)


@pytest.mark.parametrize(("text", "name"), [(XEON, "Intel(R) Xeon(R) Gold"), (PI_5, "Cortex-A76"), ("", "")])
def test_a_processor_has_its_name(text: str, name: str) -> None:
    assert cpu_name(text) == name


def test_this_machine_has_a_fingerprint() -> None:
    found = machine()
    assert found.cpu and found.cores >= 1 and found.architecture == platform.machine()
    assert set(found.features) <= set(FEATURES)


def test_every_feature_belongs_to_an_architecture() -> None:
    assert {name for names in FEATURES_OF.values() for name in names} == set(FEATURES)


def test_gpus_are_found_in_what_the_kernel_tells(tmp_path: Path) -> None:
    nvidia = tmp_path / "proc/driver/nvidia"
    (nvidia / "gpus/0000:01:00.0").mkdir(parents=True)
    (nvidia / "gpus/0000:01:00.0/information").write_text("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t 1\n")
    (nvidia / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Wed\n")
    for card, vendor, driver in (
        ("card0", "0x8086", "i915"),
        ("card1", "0x10de", "nvidia"),
        ("card2", "0x1234", "bochs"),
    ):
        device = tmp_path / "sys/class/drm" / card / "device"
        device.mkdir(parents=True)
        (device / "vendor").write_text(f"{vendor}\n")
        (device / "uevent").write_text(f"DRIVER={driver}\n")
    assert gpus(tmp_path) == [Gpu("NVIDIA", "NVIDIA H100 80GB HBM3", "nvidia 570.86.15"), Gpu("Intel", "", "i915")]


def test_a_jetson_has_a_gpu_without_a_card(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvhost-gpu").touch()
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_text("NVIDIA Jetson Orin Nano\0")
    assert gpus(tmp_path) == [Gpu("NVIDIA", "NVIDIA Jetson Orin Nano", "nvgpu")]
    assert gpus(tmp_path / "nothing") == []
