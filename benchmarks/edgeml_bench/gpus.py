"""The GPUs of this machine, by what the kernel tells; no driver's library is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path("/")
VENDORS: Final = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
TEGRA: Final = ("dev/nvhost-gpu", "dev/nvgpu")


class Gpu(msgspec.Struct, frozen=True):
    """One GPU.

    Args:
        vendor: `NVIDIA`, `AMD`, `Intel`, or the vendor's PCI number.
        name: The model's name where the kernel tells it, else nothing.
        driver: The driver that is loaded, with its version where it is told.
    """

    vendor: str
    name: str
    driver: str


def gpus(root: Path = ROOT) -> list[Gpu]:
    """Return the GPUs that a driver is loaded for; `root` is where `/proc`, `/sys` and `/dev` lie."""
    found = [Gpu("NVIDIA", name, _nvidia_driver(root)) for name in _nvidia_names(root)]
    if not found and any((root / node).exists() for node in TEGRA):
        board = _text(root / "proc/device-tree/model").strip("\0 \n")
        found.append(Gpu("NVIDIA", board or "Tegra", "nvgpu"))
    for device in sorted(root.glob("sys/class/drm/card*/device")):
        vendor = _text(device / "vendor").strip()
        if vendor not in VENDORS or VENDORS[vendor] == "NVIDIA":  # displays without a GPU; NVIDIA was listed above
            continue
        driver = re.search(r"^DRIVER=(.+)$", _text(device / "uevent"), re.MULTILINE)
        found.append(Gpu(VENDORS[vendor], _text(device / "product_name").strip(), driver[1] if driver else ""))
    return found


def _nvidia_names(root: Path) -> list[str]:
    files = sorted(root.glob("proc/driver/nvidia/gpus/*/information"))
    names = [re.search(r"^Model:\s*(.+?)\s*$", _text(file), re.MULTILINE) for file in files]
    return [name[1] if name else "" for name in names]


def _nvidia_driver(root: Path) -> str:
    version = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", _text(root / "proc/driver/nvidia/version"))
    return f"nvidia {version[1]}" if version else "nvidia"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
