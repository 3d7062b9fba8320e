"""The clock of the slowest core: governors and hot chips lower it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgeml_bench.sensors import Sensor

ROOT: Final = Path("/sys/devices/system/cpu")


def clock_mhz(root: Path = ROOT) -> float | None:
    """Return the slowest core's clock below `root` in MHz, or `None` where the kernel does not tell."""
    found = []
    for path in root.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        try:
            found.append(int(path.read_text()) / 1000)
        except (OSError, ValueError):  # a core that was switched off
            continue
    return min(found, default=None)


SENSOR = Sensor(
    what="clock of the slowest core",
    unit="MHz",
    read=clock_mhz,
    mend="virtual machines hide it; on hardware load the kernel's cpufreq driver",
)
