"""This process's resident memory, and the highest it ever was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from edgeml_bench.sensors import Sensor

PROCESS: Final = Path("/proc/self")


def resident_bytes(process: Path = PROCESS) -> int | None:
    """Return the resident memory of the process described in `process`, or `None` where the kernel does not tell."""
    return _field(process, "VmRSS")


def peak_bytes(process: Path = PROCESS) -> int | None:
    """Return the highest resident memory since the process began or `reset_peak` was called, or `None`."""
    return _field(process, "VmHWM")


def reset_peak(process: Path = PROCESS) -> None:
    """Let `peak_bytes` count from now on, where the kernel allows it (proc(5), clear_refs)."""
    try:
        (process / "clear_refs").write_text("5")
    except OSError:
        return  # then the peak is over the process's whole life, which is what `peak_bytes` says


def _field(process: Path, name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


SENSOR = Sensor(
    what="memory of the process",
    unit="bytes",
    read=resident_bytes,
    mend="mount /proc",
)
