"""CPU seconds that this virtual machine wanted and its host gave to others."""

from __future__ import annotations

from pathlib import Path

from edgeml_bench.sensors import Sensor
from edgeml_bench.sensors.busy import STAT, STEAL, cpu_seconds


def stolen_s(stat: Path = STAT) -> float | None:
    """Return the CPU seconds that were stolen since boot, over all cores; bare metal always reads 0."""
    return cpu_seconds(stat, STEAL)


SENSOR = Sensor(
    what="CPU time that the host took away",
    unit="s",
    read=stolen_s,
    mend="mount /proc",
)
