"""Was the machine steady while something was measured? What disturbed it is said beside the figures."""

from __future__ import annotations

import os
import time
from typing import Final

import msgspec

from edgeml_bench.sensors import read

OTHER_CORES: Final = 0.25  # of one core: the load of others from which caches and memory feel it
STOLEN_SHARE: Final = 0.02
HOTTER_C: Final = 10.0
SLOWER_CLOCK_SHARE: Final = 0.05


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The sensors that tell of disturbance, at one moment; `None` is what this machine does not tell."""

    at_s: float
    own_cpu_s: float
    busy_s: float | None
    stolen_s: float | None
    preemptions: float | None
    temperature_c: float | None
    clock_mhz: float | None


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine was over a span; `None` is what it does not tell.

    Args:
        seconds: Length of the span.
        cores: Cores that this process may use.
        other_cores: CPU time of other programs by the clock: 1.0 is one core kept busy all the time.
        stolen_share: CPU time that the host of this virtual machine took away, as a share of all cores' time.
        preemptions: How often the scheduler interrupted the process that measured.
        temperature_c, hotter_c: Highest at either end, and the rise from the first to the last.
        clock_mhz, slower_clock_share: The lowest clock at either end, and the share by which it fell.
    """

    seconds: float
    cores: int
    other_cores: float | None = None
    stolen_share: float | None = None
    preemptions: int | None = None
    temperature_c: float | None = None
    hotter_c: float | None = None
    clock_mhz: float | None = None
    slower_clock_share: float | None = None

    def notes(self) -> list[str]:
        """Return a sentence for each disturbance that was found, with its figure."""
        found = []
        if self.other_cores is not None and self.other_cores >= OTHER_CORES:
            found.append(
                f"Other programs kept {self.other_cores:.1f} of {self.cores} cores busy meanwhile; "
                "measure on a quiet machine for lower figures."
            )
        if self.stolen_share is not None and self.stolen_share >= STOLEN_SHARE:
            found.append(
                f"The host took {100 * self.stolen_share:.0f} % of the CPU time away from this machine meanwhile."
            )
        if self.hotter_c is not None and self.hotter_c >= HOTTER_C:
            found.append(f"The machine grew {self.hotter_c:.0f} °C hotter meanwhile, to {self.temperature_c:.0f} °C.")
        if self.slower_clock_share is not None and self.slower_clock_share >= SLOWER_CLOCK_SHARE:
            found.append(
                f"The clock fell by {100 * self.slower_clock_share:.0f} % meanwhile, to {self.clock_mhz:.0f} MHz."
            )
        return found


def reading() -> Reading:
    """Read the sensors now."""
    own = os.times()
    return Reading(
        at_s=time.monotonic(),
        own_cpu_s=own.user + own.system,
        busy_s=read("busy"),
        stolen_s=read("stolen"),
        preemptions=read("preemptions"),
        temperature_c=read("temperature"),
        clock_mhz=read("clock"),
    )


def conditions(before: Reading, after: Reading, *, cores: int) -> Conditions:
    """Return how the machine was between two readings of one process."""
    seconds = max(after.at_s - before.at_s, 1e-9)
    busy, stolen = _risen(before.busy_s, after.busy_s), _risen(before.stolen_s, after.stolen_s)
    preempted = _risen(before.preemptions, after.preemptions)
    own = after.own_cpu_s - before.own_cpu_s
    slower = None
    if before.clock_mhz and after.clock_mhz:
        slower = 1 - after.clock_mhz / before.clock_mhz
    return Conditions(
        seconds=seconds,
        cores=cores,
        other_cores=None if busy is None else max(busy - own, 0.0) / seconds,
        stolen_share=None if stolen is None else stolen / seconds / cores,
        preemptions=None if preempted is None else int(preempted),
        temperature_c=max((t for t in (before.temperature_c, after.temperature_c) if t is not None), default=None),
        hotter_c=_risen(before.temperature_c, after.temperature_c),
        clock_mhz=min((m for m in (before.clock_mhz, after.clock_mhz) if m is not None), default=None),
        slower_clock_share=slower,
    )


def _risen(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
