"""How often the scheduler took the CPU away from this process while it wanted to run on."""

from __future__ import annotations

import sys

from edgeml_bench.sensors import Sensor


def preemptions() -> float | None:
    """Return the involuntary context switches of this process so far, or `None` where they are not counted."""
    if sys.platform == "win32":
        return None
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw)


SENSOR = Sensor(
    what="times the process was interrupted",
    unit="times",
    read=preemptions,
    mend="needs a Unix system",
)
