"""How the device itself fares: what the agent holds in memory, and how hot it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

THERMAL: Final = Path("/sys/class/thermal")
PLAUSIBLE_C: Final = (-40.0, 150.0)  # some zones report 0 K or 255 °C when nothing is connected


def memory_bytes(status: Path = Path("/proc/self/statm")) -> int | None:
    """Return this process's resident memory, or `None` where the kernel does not tell."""
    try:
        pages = int(status.read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def temperature_c(thermal: Path = THERMAL) -> float | None:
    """Return the hottest thermal zone in degrees Celsius, or `None` where there is no sensor."""
    zones = (_zone_c(zone) for zone in thermal.glob("thermal_zone*/temp"))
    return max((c for c in zones if c is not None and PLAUSIBLE_C[0] < c < PLAUSIBLE_C[1]), default=None)


def _zone_c(zone: Path) -> float | None:
    try:
        return int(zone.read_text()) / 1000
    except (OSError, ValueError):  # a zone may be switched off while others are fine
        return None
