"""CPU seconds that all programs together have used: less our own, it is what others took while we measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from edgeml_bench.sensors import Sensor

STAT: Final = Path("/proc/stat")
USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL = range(8)  # proc(5); guest time is within user time


def cpu_seconds(stat: Path, *columns: int) -> float | None:
    """Return the sum of `columns` of the first line of `stat`, over all cores, in seconds; `None` where it cannot be read."""
    try:
        ticks = [int(t) for t in stat.read_text().splitlines()[0].split()[1:]]
        return sum(ticks[c] for c in columns) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def busy_s(stat: Path = STAT) -> float | None:
    """Return the CPU seconds that were used since boot, over all cores."""
    return cpu_seconds(stat, USER, NICE, SYSTEM, IRQ, SOFTIRQ)


SENSOR = Sensor(
    what="CPU time of all programs",
    unit="s",
    read=busy_s,
    mend="mount /proc",
)
