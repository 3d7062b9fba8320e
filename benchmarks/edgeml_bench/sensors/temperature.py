"""The hottest thermal sensor: a chip that is too hot lowers its clock, and every latency rises."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edgeml_bench.sensors import Sensor

ROOT: Final = Path("/sys/class")
PATTERNS: Final = ("thermal/thermal_zone*/temp", "hwmon/hwmon*/temp*_input")
PLAUSIBLE_C: Final = (-40.0, 150.0)  # some firmwares report a sensor that is not fitted as -274 or 255


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the hottest sensor below `root` in °C, or `None` where there is none."""
    found = []
    for path in (p for pattern in PATTERNS for p in root.glob(pattern)):
        try:
            degrees = int(path.read_text()) / 1000
        except (OSError, ValueError):  # a sensor that sleeps answers with an error; the others still tell
            continue
        if PLAUSIBLE_C[0] <= degrees <= PLAUSIBLE_C[1]:
            found.append(degrees)
    return max(found, default=None)


SENSOR = Sensor(
    what="temperature of the hottest sensor",
    unit="°C",
    read=temperature_c,
    mend="virtual machines have none; on hardware load the sensor's kernel module (sensors-detect of lm-sensors)",
)
