"""What pages say, computed from seeded stores without a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest
import sqlalchemy as sa
from seeding import CONTRAST_LOSS, PI4, Seed

from edgeml.server import tables
from edgeml.server.page.rendering import render
from edgeml.server.page.views.accuracy import newest_labelled
from edgeml.server.page.views.alarms import OpenAlarms, read_open
from edgeml.server.page.views.benchmarks import read_benchmarks, read_compression
from edgeml.server.page.views.bundles import Bundles
from edgeml.server.page.views.decisions import newest_chain
from edgeml.server.page.views.decisions_page import read_decisions
from edgeml.server.page.views.device import Device, NotFound, read_device
from edgeml.server.page.views.devices import Asked, read_devices
from edgeml.server.page.views.model import Model, NoModel, read_model_view
from edgeml.server.page.views.overview import Overview, read_overview, verdict
from edgeml.server.page.views.rollouts_page import read_rollouts
from edgeml.server.page.views.scene import Scene
from edgeml.server.page.views.timeline import SAMPLE, Timeline

T = TypeVar("T")
Seeded = Callable[[str], Seed]


def look(seed: Seed, reader: Callable[[sa.Connection, Scene], T]) -> T:
    scene = Scene(seed.project, seed.now, Bundles(seed.project.fleet_folder / "bundles"))
    with seed.store.reading() as connection:
        return reader(connection, scene)


def overview(seed: Seed) -> Overview:
    return look(seed, lambda c, s: read_overview(c, s, Timeline()))


@pytest.mark.parametrize(
    ("fleet", "status", "heading"),
    [
        ("empty", "never", "No device yet"),
        ("enrolled", "never", "2 devices are enrolled, none was seen yet"),
        ("healthy", "ok", "All 48 devices are healthy"),
        ("degraded", "warn", "43 of 48 devices are healthy, but accuracy is below its floor"),
        ("one_bad", "bad", "2 of 3 devices are healthy"),
        ("large", "warn", "9,540 of 10,000 devices are healthy"),
    ],
)
def test_the_heading_is_a_verdict_with_its_figure(seeded: Seeded, fleet: str, status: str, heading: str) -> None:
    view = overview(seeded(fleet))
    assert (view.verdict.status, view.verdict.heading) == (status, heading)


def test_the_lead_says_what_was_decided_and_how_many_devices_need_a_person(seeded: Seeded) -> None:
    view = overview(seeded("degraded")).verdict
    assert "r42 is in canary on 5 devices." in view.lead
    assert "Of 620 labelled answers 90.2\u00a0% were right" in view.lead
    assert view.todo == "Four devices need a person."


def test_a_fleet_with_one_device_is_spoken_of_as_one() -> None:
    none = OpenAlarms((), 0, 0, "")
    assert verdict({"healthy": 1}, none, (), None, "").heading == "The device is healthy"
    assert verdict({"never_seen": 1}, none, (), None, "").heading == "1 device is enrolled, none was seen yet"


def test_cells_count_every_device_once(seeded: Seeded) -> None:
    for fleet, devices in (("degraded", 48), ("large", 10_000)):
        view = overview(seeded(fleet))
        assert sum(cell.devices for row in view.cells.rows for cell in row.cells) == devices == view.devices
        assert sum(row.devices for row in view.cells.rows) == devices


def test_few_devices_are_squares_with_names_and_many_are_a_split_bar(seeded: Seeded) -> None:
    few, many = overview(seeded("degraded")).cells, overview(seeded("large")).cells
    assert not few.wide and all(len(c.names) == c.devices for r in few.rows for c in r.cells)
    assert many.wide and not any(c.names for r in many.rows for c in r.cells)
    assert few.columns[0] == ("r42", "r42, new") and few.main == "r41"


def test_a_device_that_was_never_seen_stands_under_the_release_it_shall_run(seeded: Seeded) -> None:
    cells = overview(seeded("degraded")).cells
    assert [key for key, _ in cells.columns] == ["r42", "r41"]
    pi4 = next(r for r in cells.rows if r.target == PI4)
    assert ("never_seen", 1) in next(c for c in pi4.cells if c.release == "r41").counts


def test_alarms_of_one_kind_are_one_entry_and_the_worst_comes_first(seeded: Seeded) -> None:
    alarms = look(seeded("degraded"), lambda c, s: read_open(c, s, 10))
    assert [a.status for a in alarms.entries] == ["bad", "warn", "silent"]
    assert alarms.entries[1].title == "3 devices are degraded" and alarms.devices == 4
    many = look(seeded("large"), lambda c, s: read_open(c, s, 10))
    assert many.total == 2 and "300 devices are silent" in [a.title for a in many.entries]


def test_every_trend_has_a_limit_and_a_verdict_or_says_why_it_has_no_figure(seeded: Seeded) -> None:
    accuracy, drift, latency, unknown = overview(seeded("degraded")).trends
    assert (accuracy.status, accuracy.limit) == ("bad", "floor 94.0\u00a0%") and accuracy.word.startswith(
        "below floor, 87.6 to"
    )
    assert drift.status == "warn" and drift.limit.startswith("threshold 0.")
    assert latency.name == "p99, Raspberry Pi 4" and latency.limit == "budget 20\u00a0ms"
    assert unknown.limit == "limit 8\u00a0%" and unknown.line.path
    for trend in overview(seeded("empty")).trends:
        assert trend.value == "—" and trend.word and not trend.line.path


def test_a_point_of_the_timeline_rests_on_a_bounded_sample_and_is_read_once_when_closed(seeded: Seeded) -> None:
    seed, timeline = seeded("large"), Timeline()
    statements: list[str] = []

    def points() -> list[int]:
        statements.clear()
        with seed.store.reading() as connection:
            sa.event.listen(
                connection, "before_cursor_execute", lambda *a: statements.append(a[2]) if "SELECT" in a[2] else None
            )
            found = timeline.points(connection, overview(seed).span, seed.now)
        return [sum(t.answers for t in p.targets) for p in found]

    first = points()
    read_first = len(statements)
    assert 0 < max(first) <= SAMPLE * 24
    assert points() == first and len(statements) == 2 < read_first


def test_reading_the_overview_of_ten_thousand_devices_is_quick(seeded: Seeded) -> None:
    seed, timeline = seeded("large"), Timeline()
    look(seed, lambda c, s: read_overview(c, s, timeline))
    took = []
    for _ in range(3):
        began = time.perf_counter()
        look(seed, lambda c, s: read_overview(c, s, timeline))
        look(seed, lambda c, s: read_devices(c, s, Asked()))
        took.append(time.perf_counter() - began)
    assert min(took) < 0.5, f"{min(took):.2f} s"


def test_devices_are_paged_and_filtered_by_the_database(seeded: Seeded) -> None:
    seed = seeded("large")
    first = look(seed, lambda c, s: read_devices(c, s, Asked()))
    assert len(first.rows) == 100 and first.rows[0].state == "degraded" and first.page.total == 10_000
    last = look(seed, lambda c, s: read_devices(c, s, Asked(page=10**6)))
    assert last.page.number == 100 and last.rows[-1].state == "healthy"
    silent = look(seed, lambda c, s: read_devices(c, s, Asked(search="site-0", state="silent")))
    assert {r.state for r in silent.rows} == {"silent"} and all("site-0" in r.device for r in silent.rows)
    assert silent.heading.endswith("of 10,000 devices match")
    assert not look(seed, lambda c, s: read_devices(c, s, Asked(search="%"))).rows


def test_what_is_asked_for_goes_into_the_address_and_back() -> None:
    asked = Asked(search="line b&x", state="silent", page=3)
    assert asked.address(3) == "/devices?search=line+b%26x&state=silent&page=3"
    assert Asked.of({"search": "line b&x", "state": "silent", "page": "3"}) == asked
    assert Asked.of({"page": "-1"}).page == Asked.of({"page": "²"}).page == Asked.of({"page": "x"}).page == 1


def test_a_device_says_what_is_wrong_since_when_and_what_to_do(seeded: Seeded) -> None:
    device = look(seeded("degraded"), lambda c, s: read_device(c, s, "line-b-07", None))
    assert isinstance(device, Device)
    assert device.heading == "line-b-07 is slower than its budget" and device.state.startswith("degraded since ")
    assert "budget 20\u00a0ms" in device.lead and device.todo == "Check fans."
    assert [s.release for s in device.slots] == ["r41", "r40"] and device.slots[0].detail.endswith("self-test 32 of 32")
    assert [lane.name for lane in device.measures.releases] == ["r40", "r41"]
    assert {lane.name for lane in device.measures.alarms} == {"slower than its budget", "Inputs have drifted (fleet)"}
    assert device.measures.p99_ms.newest is not None and device.measures.p99_ms.newest > 20


def test_a_measure_that_is_missing_is_missing_not_zero(seeded: Seeded) -> None:
    device = look(seeded("one_bad"), lambda c, s: read_device(c, s, "line-a-01", None))
    assert isinstance(device, Device)
    assert not device.measures.temperature_c.measured and device.measures.memory_mb.measured


def test_a_device_that_is_not_there_has_near_names(seeded: Seeded) -> None:
    found = look(seeded("degraded"), lambda c, s: read_device(c, s, "line-b-77", None))
    assert isinstance(found, NotFound) and "line-b-07" in found.nearest
    assert "There is no device &lt;b&gt;" in render("device", "missing", NotFound("<b>", ()))


def test_the_model_page_orders_inputs_by_effect_and_draws_what_was_judged(seeded: Seeded) -> None:
    model = look(seeded("degraded"), lambda c, s: read_model_view(c, s, None))
    assert isinstance(model, Model) and model.release == "r41"
    assert model.status == "bad" and model.heading.endswith("; accuracy is below its floor")
    judged = [p for p in model.panels if p.psi != "—"]
    assert judged[0].over and model.drift is not None and judged[0].name.lower() == model.drift.over[0]
    assert model.drift.worst_quiet is not None and model.drift.worst_quiet < model.drift.limit
    assert model.classes is not None and abs(sum(float(r.now) for r in model.classes.rows) - 100) < 0.5
    assert CONTRAST_LOSS < 1


def test_a_quiet_model_and_one_without_judgement_say_so(seeded: Seeded) -> None:
    quiet = look(seeded("healthy"), lambda c, s: read_model_view(c, s, None))
    assert isinstance(quiet, Model) and quiet.heading == "Inputs look as they did on the validation split"
    waiting = look(seeded("one_bad"), lambda c, s: read_model_view(c, s, None))
    assert isinstance(waiting, Model) and waiting.heading == "Too few answers to judge yet" and waiting.panels
    assert isinstance(look(seeded("empty"), lambda c, s: read_model_view(c, s, None)), NoModel)
    unknown = look(seeded("healthy"), lambda c, s: read_model_view(c, s, "r99"))
    assert isinstance(unknown, NoModel) and unknown.releases == ("r41",)


def test_the_newest_accuracy_has_its_interval(seeded: Seeded) -> None:
    found = look(seeded("degraded"), lambda c, s: newest_labelled(c, "r41"))
    assert found is not None and found.low < found.share < found.high
    assert found.low > 0.87 and found.high < 0.93


def test_rollouts_say_where_they_stand(seeded: Seeded) -> None:
    running = look(seeded("degraded"), lambda c, s: read_rollouts(c, s, 1))
    assert running.verdict.heading == "r42 is in canary on 5 devices" and running.verdict.lead.startswith(
        "4 of 5 gates hold"
    )
    assert running.current is not None and [g.status for g in running.current.gates] == ["ok", "run", "ok", "ok", "ok"]
    done = look(seeded("healthy"), lambda c, s: read_rollouts(c, s, 1))
    assert done.verdict.heading == "r41 runs on 48 of 48 devices"
    assert look(seeded("empty"), lambda c, s: read_rollouts(c, s, 1)).verdict.heading == "No rollout yet"


def test_the_chain_ends_where_the_chain_before_begins(seeded: Seeded) -> None:
    assert [s.kind for s in overview(seeded("degraded")).chain] == ["drift", "retrain", "challenger", "canary"]

    def rows(*kinds: str) -> list[sa.RowMapping]:
        return [{"kind": k, "id": i} for i, k in enumerate(kinds)]  # type: ignore[misc]

    newest_first = rows("rollout", "canary", "challenger", "retrain", "retrain", "drift", "rollout", "drift")
    assert [r["kind"] for r in newest_chain(newest_first)] == ["drift", "retrain", "challenger", "rollout"]
    assert newest_chain(newest_first)[1]["id"] == 3
    assert [r["kind"] for r in newest_chain(rows("drift", "rollout"))] == ["drift"]
    assert newest_chain([]) == []


def test_decisions_are_listed_newest_first_with_who_decided(seeded: Seeded) -> None:
    view = look(seeded("degraded"), lambda c, s: read_decisions(c, s, 1))
    assert view.heading == "4 decisions, the last: Canary running"
    assert [e.title for e in view.entries][-1] == "Drift found" and {e.by for e in view.entries} == {"policy"}


def test_benchmarks_come_from_what_compression_measured(seeded: Seeded) -> None:
    view = look(seeded("degraded"), read_benchmarks)
    assert (
        view.heading == "Compression made it up to 1.8 times faster and 3.8 times smaller"
        and view.report == "/reports/m41"
    )
    assert view.rows[0].p50 == "—" and view.rows[0].word == "latency not measured here"
    assert view.rows[1].ratio_interval == "0.55 to 0.57" and view.rows[2].drop == "0.0 (−0.3 to +0.3)"
    assert look(seeded("empty"), read_benchmarks).command == "edgeml compress"
    assert read_compression(seeded("degraded").project.workspace, "../m41") is None


def test_no_view_reads_more_rows_than_it_shows(seeded: Seeded) -> None:
    """Nothing grows with the fleet: every statement is bounded by a limit, a key, or counts."""
    seed, wrong = seeded("large"), []

    def note(*args: object) -> None:
        sql = " ".join(str(args[2]).upper().split())
        counted = "GROUP BY" in sql or any(f"{f}(" in sql for f in ("COUNT", "MAX", "MIN", "SUM", "COALESCE"))
        if (
            sql.startswith("SELECT")
            and not counted
            and "LIMIT" not in sql
            and "RANK <=" not in sql
            and " = ?" not in sql
        ):
            wrong.append(sql)

    with seed.store.reading() as connection:
        sa.event.listen(connection, "before_cursor_execute", note)
        scene = Scene(seed.project, seed.now, Bundles(seed.project.fleet_folder / "bundles"))
        read_overview(connection, scene, Timeline())
        read_devices(connection, scene, Asked())
        read_model_view(connection, scene, None)
        read_device(connection, scene, "site-00-00", None)
        read_rollouts(connection, scene, 1)
    assert not wrong


def test_seeds_are_what_the_tables_ask_for(seeded: Seeded) -> None:
    with seeded("degraded").store.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.WINDOWS)) > 2000
