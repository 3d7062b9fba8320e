"""One list of checks over all sensors, the next one too; then each against files of the kernel's form."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgeml_bench.sensors import find_sensor, read, sensor_names
from edgeml_bench.sensors.busy import busy_s
from edgeml_bench.sensors.clock import clock_mhz
from edgeml_bench.sensors.memory import peak_bytes, reset_peak, resident_bytes
from edgeml_bench.sensors.stolen import stolen_s
from edgeml_bench.sensors.temperature import temperature_c


@pytest.mark.parametrize("name", sensor_names())
def test_a_sensor_says_what_it_tells_and_reads_a_figure_or_none(name: str) -> None:
    sensor, value = find_sensor(name), read(name)
    assert sensor.what and sensor.unit and sensor.mend
    assert value is None or np.isfinite(value)


def test_no_such_sensor() -> None:
    with pytest.raises(KeyError):
        find_sensor("smell")


def test_the_hottest_plausible_sensor_counts(tmp_path: Path) -> None:
    for i, text in enumerate(["48312", "61500", "-274000", "", "255000"]):
        zone = tmp_path / f"thermal/thermal_zone{i}"
        zone.mkdir(parents=True)
        (zone / "temp").write_text(text)
    assert temperature_c(tmp_path) == 61.5
    assert temperature_c(tmp_path / "nothing") is None


def test_the_slowest_core_counts(tmp_path: Path) -> None:
    for core, khz in (("cpu0", 2400000), ("cpu11", 1500000)):
        (tmp_path / core / "cpufreq").mkdir(parents=True)
        (tmp_path / core / "cpufreq/scaling_cur_freq").write_text(f"{khz}\n")
    assert clock_mhz(tmp_path) == 1500.0
    assert clock_mhz(tmp_path / "nothing") is None


def test_busy_and_stolen_time_are_read_in_seconds(tmp_path: Path) -> None:
    stat, tick = tmp_path / "stat", os.sysconf("SC_CLK_TCK")
    stat.write_text("cpu  100 20 30 9999 888 4 6 50 77 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert busy_s(stat) == (100 + 20 + 30 + 4 + 6) / tick  # idle, waiting and stolen time is nobody's work
    assert stolen_s(stat) == 50 / tick
    stat.write_text("cpu  1 2\n")
    assert stolen_s(stat) is None and busy_s(tmp_path / "nothing") is None


def test_the_peak_remembers_memory_that_was_given_back() -> None:
    reset_peak()
    before = resident_bytes()
    block = np.ones(8 << 20)  # 64 MiB, handed back to the system at once when it is freed
    del block
    after, peak = resident_bytes(), peak_bytes()
    assert before and after and peak
    assert peak >= before + 60 * 2**20
    assert after < peak


def test_without_proc_nothing_is_told(tmp_path: Path) -> None:
    assert resident_bytes(tmp_path) is None and peak_bytes(tmp_path) is None
    reset_peak(tmp_path)
