"""The store keeps each message exactly once, whatever comes twice, late, or from nobody we know."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeml.server.migrations import HERE, newest_version
from edgeml.server.store import Id, Store
from edgeml.server.tables import DEVICES, METADATA, REPORTS, WINDOWS
from edgeml_agent.messages import Window
from edgeml_targets.contract.errors import EdgemlError

POSTGRES = Path("/usr/lib/postgresql/15/bin")


def count(store: Store, table: sa.Table) -> int:
    with store.reading() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def device(store: Store, name: str = "line-b-07") -> sa.Row[Any]:
    with store.reading() as connection:
        return connection.execute(sa.select(DEVICES).where(DEVICES.c.device == name)).one()


def test_a_message_that_comes_twice_is_stored_once_and_named_twice(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    window = world.window()
    assert store.record([window, window], 1002.0) == [Id("line-b-07", "boot1", window.sequence)] * 2
    assert store.record([window], 1003.0) == [Id("line-b-07", "boot1", window.sequence)]
    assert count(store, WINDOWS) == 1


@given(batches=st.lists(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 6)), max_size=8), max_size=8))
@settings(max_examples=30, deadline=None)
def test_whatever_is_sent_again_the_store_holds_each_id_once(batches: list[list[tuple[str, int]]]) -> None:
    store = Store.open("sqlite://")
    with store.writing() as connection:
        row = {"device": "d", "group": "g", "target": "t", "enrolled_at": 0.0, "state": "never_seen"}
        connection.execute(sa.insert(DEVICES).values(row))
    sent = set()
    for batch in batches:
        messages = [_bare_window(boot, sequence) for boot, sequence in batch]
        assert store.record(messages, 2.0) == [Id("d", boot, sequence) for boot, sequence in batch]
        sent |= set(batch)
    with store.reading() as connection:
        kept = connection.execute(sa.select(WINDOWS.c.boot, WINDOWS.c.sequence)).all()
        arrivals = connection.scalars(sa.select(WINDOWS.c.arrival)).all()
    assert sorted(kept) == sorted(sent)
    assert len(set(arrivals)) == len(arrivals)
    store.close()


def test_a_window_is_kept_to_the_byte(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    window = world.window(errors=2, temperature_c=61.5)
    store.record([window], 1002.0)
    with store.reading() as connection:
        row = connection.execute(sa.select(WINDOWS)).one()
    assert msgspec.msgpack.decode(row.content, type=Window) == window
    assert (row.answers, row.errors, row.temperature_c) == (120, 2, 61.5)
    assert 85 < row.p50_us < row.p99_us < 120


def test_a_device_that_is_not_enrolled_leaves_no_trace(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    stranger = world.window(device="stranger")
    assert store.record([stranger, world.report(device="stranger")], 1002.0) == []
    assert count(store, WINDOWS) == count(store, REPORTS) == 0


def test_what_a_device_runs_is_what_its_newest_message_says_not_the_one_that_came_last(
    store: Store, world: Any, enrolled: Any
) -> None:
    enrolled("line-b-07")
    store.record([world.report("switched", release="r2", at=1500.0, agent="0.1.0", python="3.11", machine="x")], 1501.0)
    store.record([world.window(release="r1", ended_at=1400.0)], 1502.0)  # it had waited in the outbox
    assert (device(store).release, device(store).last_seen, device(store).agent) == ("r2", 1502.0, "0.1.0")


def test_a_clock_that_runs_ahead_does_not_silence_the_device_for_years(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    store.record([world.report(release="r1", at=9e9)], 1000.0)
    store.record([world.report("switched", release="r2", at=1001.0)], 1002.0)
    assert device(store).release == "r2"


def test_text_that_a_database_cannot_hold_is_cut_not_refused(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    store.record([world.report("e" * 90, detail="nul \0 byte", agent="a" * 90)], 1000.0)
    with store.reading() as connection:
        row = connection.execute(sa.select(REPORTS)).one()
    assert (row.event, row.detail, device(store).agent) == ("e" * 32, "nul  byte", "a" * 32)


def test_two_processes_worth_of_stores_write_one_after_the_other(
    store: Store, project: Any, world: Any, enrolled: Any
) -> None:
    enrolled("line-b-07")
    second = Store.of(project)
    with store.writing() as connection:
        connection.execute(sa.update(DEVICES).values(reason="held"))
        with second.reading() as other:  # a reader does not wait for the writer
            assert other.scalar(sa.select(DEVICES.c.reason)) == ""
    second.record([world.window()], 1002.0)
    second.close()
    assert count(store, WINDOWS) == 1


def test_a_batch_is_on_the_disk_or_not_at_all(store: Store, world: Any, enrolled: Any) -> None:
    enrolled("line-b-07")
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL: a commit survives a power cut
    with pytest.raises(RuntimeError), store.writing() as connection:
        connection.execute(sa.update(DEVICES).values(reason="half"))
        raise RuntimeError("killed")
    assert device(store).reason == ""


def test_migrations_end_where_the_tables_are(store: Store) -> None:
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_a_store_of_the_first_schema_is_brought_up_and_its_reports_count_for_no_rollout(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(HERE))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        report = {
            "device": "d",
            "boot": "b",
            "sequence": 1,
            "at": 9e9,
            "release": "r1",
            "event": "refused",
            "detail": "",
        }
        connection.execute(sa.text(_INSERT_OLD_REPORT), report | {"offered": "r2"})
    engine.dispose()
    store = Store.open(url)
    with store.reading() as connection:
        assert connection.scalar(sa.select(REPORTS.c.received_at)) == 0.0
    store.close()


_INSERT_OLD_REPORT = (
    "INSERT INTO reports (device, boot, sequence, at, release, event, detail, offered)"
    " VALUES (:device, :boot, :sequence, :at, :release, :event, :detail, :offered)"
)


def test_a_store_of_a_newer_edgeml_is_refused_in_one_line(store: Store, project: Any) -> None:
    with store.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(EdgemlError, match=rf"fleet\.db: the store has schema version 9999.*{newest_version()}"):
        Store.of(project)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(EdgemlError, match=r"notes\.db: the store cannot be opened: file is not a database"):
        Store.open(f"sqlite:///{tmp_path / 'notes.db'}")


def test_an_address_of_no_store_hides_its_password() -> None:
    with pytest.raises(EdgemlError) as refused:
        Store.open("nonsense+driver://user:secret@host/db")
    assert "secret" not in str(refused.value)


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[str]:
    """Start a PostgreSQL of its own on a socket, where one is installed."""
    if not (POSTGRES / "initdb").exists():
        pytest.skip("PostgreSQL is not installed here: apt install postgresql")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if shutil.which("setpriv") else []
    folder = Path("/tmp") / f"edgeml-pg-{tmp_path.name}"  # short: a socket's path has 107 characters
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    run = {"check": True, "capture_output": True, "cwd": folder}
    subprocess.run([*user, POSTGRES / "initdb", "-D", folder / "data", "-A", "trust", "-N"], **run)
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    control = [*user, POSTGRES / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], **run)
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], **run)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_postgresql_does_the_same(postgres: str, world: Any) -> None:
    store = Store.open(postgres)
    with store.writing() as connection:
        row = {"device": "line-b-07", "group": "g", "target": "t", "enrolled_at": 0.0, "state": "never_seen"}
        connection.execute(sa.insert(DEVICES).values(row))
    window, report = world.window(), world.report("switched", release="r2", at=1500.0, detail="nul \0 byte")
    for _ in range(2):
        assert store.record([window, report, world.window(device="stranger")], 1600.0) == [
            Id("line-b-07", "boot1", window.sequence),
            Id("line-b-07", "boot1", report.sequence),
        ]
    assert (count(store, WINDOWS), count(store, REPORTS), device(store).release) == (1, 1, "r2")
    with store.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    store.close()


@pytest.mark.slow
def test_on_postgresql_writers_of_several_processes_do_not_lose_each_others_writes(postgres: str, world: Any) -> None:
    """Each reads the count and writes it anew, as a rollout's stage or a release's number is read and written."""
    stores = [Store.open(postgres) for _ in range(4)]
    with stores[0].writing() as connection:
        row = {"device": "line-b-07", "group": "g", "target": "t", "enrolled_at": 0.0, "state": "never_seen"}
        connection.execute(sa.insert(DEVICES).values(row))

    def count_up(store: Store) -> None:
        for _ in range(25):
            with store.writing() as connection:
                seen = connection.scalar(sa.select(DEVICES.c.enrolled_at)) or 0.0
                connection.execute(sa.update(DEVICES).values(enrolled_at=seen + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, stores))
    assert device(stores[0]).enrolled_at == 100.0
    for store in stores:
        store.close()


def _bare_window(boot: str, sequence: int) -> Window:
    from edgeml_targets.contract.histogram import Histogram
    from edgeml_targets.contract.latencies import Latencies

    return Window(
        device="d",
        boot=boot,
        sequence=sequence,
        began_at=0.0,
        ended_at=1.0,
        release="r1",
        target="t",
        answers=0,
        unknown=0,
        errors=0,
        classes=(),
        features={},
        distance=Histogram(),
        confidence=Histogram(),
        latency_us=Latencies(),
    )
