"""RESULTS.md is made of the journal's lines: every figure in it can be derived from them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgeml_bench import Machine
from peers.comparing import rows_of
from peers.listing import Quantizer
from peers.measured import Answered, Described, Journal, Made, Raced, Session, pack
from peers.results import losses, results, summary, table

OURS = Quantizer("ours_onnxruntime", "edgeml", "", "onnxruntime", ".onnx", "ours()")
FAST = Quantizer("fast", "Fast", "fast", "onnxruntime", ".onnx", "fast()")
ROUGH = Quantizer("rough", "Rough", "rough", "onnxruntime", ".onnx", "rough()")
BROKEN = Quantizer("broken", "Broken", "broken", "onnxruntime", ".onnx", "broken()")
ALL = [OURS, FAST, ROUGH, BROKEN]
SAMPLES = 1000


def right(wrong: int) -> str:
    return pack(np.arange(SAMPLES) >= wrong)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Ours is right on 950 and takes 60 us; Fast on 950 and 50; Rough on 850 and 60; Broken stopped."""
    found = Journal(tmp_path)
    found.add(Session(machine=Machine(cpu="a CPU", cores=2, features=()), began_at="2026-01-02T00:00:00", commit="abc"))
    found.add(
        Described(network="net", key="k", parameters=9, size_bytes=400, calibration_samples=300, test_samples=SAMPLES)
    )
    wrong = {"float onnxruntime": 40, "ours_onnxruntime": 50, "fast": 50, "rough": 150}
    for quantizer in ALL:
        error = "ValueError: no such operator" if quantizer is BROKEN else ""
        found.add(Made(network="net", quantizer=quantizer.name, key="k q", cpu_seconds=2.0, version="1.0", error=error))
    for entrant, count in wrong.items():
        found.add(
            Answered(network="net", entrant=entrant, key="k a", samples=SAMPLES, size_bytes=100_000, right=right(count))
        )
    times = {"float onnxruntime": 100.0, "ours_onnxruntime": 60.0, "fast": 50.0, "rough": 60.0}
    found.add(
        Raced(
            network="net",
            runtime="onnxruntime",
            key="k r",
            threads=1,
            entrants=tuple(times),
            p50_us=tuple(times.values()),
            medians_us=tuple((t,) * 8 for t in times.values()),
            version="1.32",
        )
    )
    return found


def test_what_ours_loses_and_wins_is_counted(journal: Journal) -> None:
    rows = {row.entrant: row for row in rows_of(journal, ALL)}

    assert (rows["fast"].lost, rows["fast"].won) == (True, False)
    assert (rows["rough"].lost, rows["rough"].won) == (False, True)
    assert rows["rough"].gain is not None and rows["rough"].gain.points == pytest.approx(10.0)
    assert rows["float onnxruntime"].gain is None


def test_losses_are_told_by_name_with_their_figures(journal: Journal) -> None:
    (line,) = losses(rows_of(journal, ALL))

    assert "net" in line and "Fast" in line and "1.20 [1.20, 1.20]" in line


def test_the_summary_counts_the_rows(journal: Journal) -> None:
    said = summary(rows_of(journal, ALL))

    assert "2 comparisons (1 network, 2 peers)" in said
    assert "accuracy 1 better, 1 not worse; latency 1 not worse, 1 worse" in said
    assert "1 of 2; worse in one: 1" in said


def test_the_page_has_losses_before_tables_and_says_why_a_peer_has_no_figures(journal: Journal) -> None:
    page = results(journal, rows_of(journal, ALL), ["## Another benchmark\n"])

    assert page.index("## Where ours loses") < page.index("## net") < page.index("## Another benchmark")
    assert "| ONNX Runtime, Broken | failed |" in page
    assert "Broken on ONNX Runtime: ValueError: no such operator" in page
    assert "commit abc" in page and "a CPU" in page


def test_every_table_is_square(journal: Journal) -> None:
    page = results(journal, rows_of(journal, ALL))

    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_lines_about_other_data_are_passed_over(journal: Journal) -> None:
    journal.add(
        Described(network="net", key="other", parameters=9, size_bytes=400, calibration_samples=9, test_samples=9)
    )

    assert all(row.accuracy is None and row.gain is None for row in rows_of(journal, ALL))


def test_bars_and_line_breaks_do_not_break_a_table() -> None:
    assert table(["a"], [["x | y\nz"]]).splitlines()[2] == "| x \\| y z |"


def test_nothing_measured_is_said() -> None:
    assert summary([]) == "Nothing was compared yet."
    assert list(losses([])) == ["Nowhere in what was measured here."]


def test_a_later_session_that_made_nothing_of_ours_is_not_named(journal: Journal) -> None:
    journal.add(
        Made(
            network="net", quantizer=OURS.name, key="k q", cpu_seconds=2.0, version="1.0", made_at="2026-01-03T00:00:00"
        )
    )
    later = Machine(cpu="another", cores=2, features=())
    journal.add(Session(machine=later, began_at="2026-01-04T00:00:00", commit="later"))

    page = results(journal, rows_of(journal, ALL))

    assert "commit abc" in page and "later" not in page and "another" not in page
