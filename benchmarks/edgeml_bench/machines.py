"""The fingerprint of the machine that figures were measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Final

import msgspec

CPUINFO: Final = Path("/proc/cpuinfo")
FEATURES: Final[dict[str, str]] = {
    "avx2": "256-bit vectors: float and int8 at full width",
    "fma": "multiply and add in one instruction",
    "avx512f": "512-bit vectors",
    "avx512_vnni": "int8 dot products, 64 at once: int8 without 16-bit saturation",
    "avx_vnni": "int8 dot products, 32 at once",
    "avx512_bf16": "bfloat16 dot products",
    "avx512_fp16": "float16 arithmetic",
    "amx_int8": "int8 matrix tiles",
    "amx_bf16": "bfloat16 matrix tiles",
    "neon": "128-bit vectors of 32-bit ARM",
    "asimd": "128-bit vectors of 64-bit ARM",
    "asimdhp": "float16 arithmetic",
    "asimddp": "int8 dot products (dotprod)",
    "i8mm": "int8 matrix products",
    "bf16": "bfloat16 dot products",
    "sve": "scalable vectors",
    "sve2": "scalable vectors, second edition",
    "sme": "matrix tiles",
}
"""CPU features that matter for inference, by the kernel's own names, and what each is for."""
FEATURES_OF: Final[dict[str, tuple[str, ...]]] = {
    "x86_64": (
        "avx2",
        "fma",
        "avx512f",
        "avx512_vnni",
        "avx_vnni",
        "avx512_bf16",
        "avx512_fp16",
        "amx_int8",
        "amx_bf16",
    ),
    "aarch64": ("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
    "armv7l": ("neon",),
}
"""Which of them a processor of an architecture may have."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, as far as it bears on latency.

    Args:
        cpu: The processor's name.
        cores: Cores that this process may use.
        features: Those of `FEATURES` that the processor has, in that order.
        architecture: `platform.machine()`.
        memory_bytes: The machine's memory, or `None` where it does not tell.
        system: The operating system and its version.
        governor: How the clock is set (`performance`, `schedutil`), or `None` where it does not tell.
        python: The interpreter's version.
    """

    cpu: str
    cores: int
    features: tuple[str, ...]
    architecture: str = ""
    memory_bytes: int | None = None
    system: str = ""
    governor: str | None = None
    python: str = ""


def machine() -> Machine:
    """Return this machine's fingerprint.

    Example:
        >>> machine().cores >= 1
        True
    """
    cpuinfo = _text(CPUINFO)
    return Machine(
        cpu=cpu_name(cpuinfo) or platform.processor() or platform.machine(),
        cores=usable_cores(),
        features=cpu_features(cpuinfo),
        architecture=platform.machine(),
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.release()}",
        governor=_text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")).strip() or None,
        python=platform.python_version(),
    )


def usable_cores() -> int:
    """Return how many cores this process may use; fewer than the machine has in some containers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_features(cpuinfo: str) -> tuple[str, ...]:
    """Return the features that matter from the text of /proc/cpuinfo; on a big.LITTLE only what every core has."""
    cores = [set(flags.split()) for flags in re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.MULTILINE)]
    common = set[str].intersection(*cores) if cores else set[str]()
    return tuple(f for f in FEATURES if f in common)


def cpu_name(cpuinfo: str) -> str:
    """Return the processor's name from the text of /proc/cpuinfo, or nothing where it does not tell."""
    names = re.findall(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    if names:
        return " ".join(names[0].split())
    board = _text(Path("/proc/device-tree/model")).strip("\0 \n")  # ARM boards have no model name, but a board
    parts = sorted(set(re.findall(r"^CPU part\s*:\s*(\S+)$", cpuinfo, re.MULTILINE)))
    cores = " + ".join(ARM_PARTS.get(p.lower(), f"ARM part {p}") for p in parts)
    return ", ".join(n for n in (board, cores) if n)


ARM_PARTS: Final = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd40": "Neoverse-V1",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd49": "Neoverse-N2",
    "0xd4f": "Neoverse-V2",
}
"""ARM's part numbers (Technical Reference Manuals, MIDR_EL1)."""


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
