"""Sensors: a file each reads one figure of this machine. The folder is the list; each file ends in `SENSOR = ...`.

A sensor that is not here reads `None`: not measured is not 0.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sensor:
    """One figure of the machine.

    Args:
        what: What it tells, for people.
        unit: Its unit, `°C`.
        read: Return the figure now, or `None` where the machine does not tell. Counters only rise.
        mend: How to make it readable where it is not.
    """

    what: str
    unit: str
    read: Callable[[], float | None]
    mend: str


def sensor_names() -> list[str]:
    """Return the names of all sensors, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find_sensor(name: str) -> Sensor:
    """Return a sensor by its file's name; KeyError when there is none."""
    if name not in sensor_names():
        raise KeyError(name)
    found: Sensor = importlib.import_module(f"{__name__}.{name}").SENSOR
    return found


def read(name: str) -> float | None:
    """Return a sensor's figure now, in its own unit, or `None` where the machine does not tell."""
    return find_sensor(name).read()
