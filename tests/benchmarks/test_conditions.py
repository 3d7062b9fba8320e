"""What disturbed a measurement is found and said."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import msgspec
import pytest

from edgeml_bench.conditions import Conditions, Reading, conditions, reading
from edgeml_bench.machines import usable_cores

QUIET = Reading(
    at_s=0.0, own_cpu_s=0.0, busy_s=10.0, stolen_s=1.0, preemptions=5.0, temperature_c=50.0, clock_mhz=2000.0
)
LATER = Reading(
    at_s=10.0, own_cpu_s=9.0, busy_s=19.0, stolen_s=1.0, preemptions=9.0, temperature_c=52.0, clock_mhz=2000.0
)


def test_a_quiet_machine_has_no_notes() -> None:
    found = conditions(QUIET, LATER, cores=2)
    assert (found.other_cores, found.stolen_share, found.preemptions, found.hotter_c) == (0.0, 0.0, 4, 2.0)
    assert found.notes() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"busy_s": 34.0}, "Other programs kept 1.5 of 2 cores busy"),
        ({"stolen_s": 3.0}, "The host took 10 % of the CPU time"),
        ({"temperature_c": 71.0}, "21 °C hotter meanwhile, to 71 °C"),
        ({"clock_mhz": 1500.0}, "The clock fell by 25 % meanwhile, to 1500 MHz"),
    ],
)
def test_each_disturbance_is_said_with_its_figure(change: dict[str, float], said: str) -> None:
    notes = conditions(QUIET, msgspec.structs.replace(LATER, **change), cores=2).notes()
    assert len(notes) == 1 and said in notes[0]


def test_what_a_machine_does_not_tell_stays_none() -> None:
    blind = Reading(
        at_s=0.0, own_cpu_s=0.0, busy_s=None, stolen_s=None, preemptions=None, temperature_c=None, clock_mhz=None
    )
    later = msgspec.structs.replace(blind, at_s=1.0)
    assert conditions(blind, later, cores=4) == Conditions(seconds=1.0, cores=4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/stat")
def test_the_load_of_another_program_is_seen() -> None:
    """A neighbour that burns half a second of CPU and then says so; we wait for it without using any."""
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)"
    before = reading()
    done = subprocess.run([sys.executable, "-c", burn], capture_output=True, check=True)
    found = conditions(before, reading(), cores=usable_cores())
    assert done.stdout == b"done\n"
    assert found.other_cores is not None
    assert found.other_cores * found.seconds >= 0.5 - 2 / os.sysconf("SC_CLK_TCK")
    assert found.seconds <= time.monotonic() - before.at_s
