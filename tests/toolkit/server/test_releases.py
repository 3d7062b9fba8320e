"""Releases and enrolment: what is signed is believed, what was changed is not, and secrets are said once."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from edgeml.project import Project
from edgeml.server import releases, rollout
from edgeml.server.broker import knows_token
from edgeml.server.enrol import enrol, enrol_again, revoke
from edgeml.server.running import Running, announce, find_running, withdraw
from edgeml.server.store import Store
from edgeml.server.tables import BUNDLES, CREDENTIALS, DEVICES, RELEASES, ROLLOUTS
from edgeml_agent.messages import Offer
from edgeml_agent.trust import verified
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of

TARGET = "x86_64-onnxruntime"


@pytest.fixture
def publish(project: Project, store: Store, world: Any, tmp_path: Path) -> Any:
    """Return a function that publishes a release of one bundle."""

    def call(model: str = "m1", target: str = TARGET) -> Any:
        file = world.bundle(tmp_path / "bundles", model=model, target=target)
        with store.reading() as connection:
            champion = rollout.current_release(connection)
        return releases.publish(
            project, model, {target: file}, releases.Grounds("h" * 64, champion, accuracies={target: 0.96}), store=store
        )

    return call


@pytest.fixture
def served(project: Project) -> Any:
    """Say that a server runs: this process."""
    running = Running(
        page_url="http://127.0.0.1:8080/",
        server_url="http://127.0.0.1:8080",
        broker_host="127.0.0.1",
        broker_port=1883,
        pid=os.getpid(),
    )
    announce(project, running)
    yield running
    withdraw(project)


def test_a_device_believes_what_the_fleets_key_signed(project: Project, store: Store, publish: Any) -> None:
    release = publish()
    content = releases.release_file(project, "r1").read_bytes()
    key = releases.public_key(project, store)
    assert verified(content, Offer("r1", "http://x/releases/r1"), fleet_key=key, where="x") == release
    ref = release.bundles[TARGET]
    assert ref.path == f"../bundles/{ref.sha256}"
    kept = releases.bundle_file(project, ref.sha256)
    assert (sha256_of(kept), kept.stat().st_size) == (ref.sha256, ref.size_bytes)


def test_a_release_that_was_changed_is_refused(project: Project, publish: Any) -> None:
    publish()
    file = releases.release_file(project, "r1")
    file.write_bytes(file.read_bytes().replace(b"m1", b"m2"))
    with pytest.raises(EdgemlError, match="its file was changed"):
        releases.read_release(project, "r1")


def test_names_rise_and_the_store_knows_what_was_released(publish: Any, store: Store, project: Project) -> None:
    assert [publish().name, publish("m2").name] == ["r1", "r2"]
    with store.reading() as connection:
        rows = connection.execute(sa.select(RELEASES).order_by(RELEASES.c.name)).all()
        assert [(r.name, r.model, r.accuracies) for r in rows] == [
            ("r1", "m1", {TARGET: 0.96}),
            ("r2", "m2", {TARGET: 0.96}),
        ]
        assert len(connection.execute(sa.select(BUNDLES)).all()) == 2
    assert releases.release_heads(project) == {"r1": "h" * 64, "r2": "h" * 64}
    assert releases.manifests(project, store, "r2")[TARGET].model == "m2"


def test_releases_published_at_once_get_different_names(
    project: Project, store: Store, world: Any, enrolled: Any, tmp_path: Path
) -> None:
    enrolled("line-b-07", last_seen=time.time())  # which runs nothing yet, so that no rollout is done meanwhile
    files = {model: world.bundle(tmp_path / "b", model=model) for model in ("m1", "m2", "m3", "m4")}

    def call(model: str) -> str:
        own = Store.of(project)
        release = releases.publish(project, model, {TARGET: files[model]}, releases.Grounds("h", None), store=own)
        own.close()
        return release.name

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(call, files)) == ["r1", "r2", "r3", "r4"]


@pytest.mark.parametrize(("model", "target"), [("m2", TARGET), ("m1", "x86_64-litert")])
def test_a_bundle_of_another_model_or_target_is_refused_and_nothing_is_released(
    project: Project, store: Store, world: Any, tmp_path: Path, model: str, target: str
) -> None:
    file = world.bundle(tmp_path / "b", model="m1", target=TARGET)
    with pytest.raises(EdgemlError, match=rf"{file.name}: it is of model m1 for {TARGET}"):
        releases.publish(project, model, {target: file}, releases.Grounds("h", None), store=store)
    with store.reading() as connection:
        assert not connection.execute(sa.select(RELEASES)).all()
    assert not releases.release_file(project, "r1").exists()


def test_a_model_that_was_judged_against_another_release_is_not_published(
    project: Project, store: Store, publish: Any, world: Any, tmp_path: Path
) -> None:
    publish("m1")
    file = world.bundle(tmp_path / "late", model="m3")
    publish("m2")  # while m3 was held against r1
    with pytest.raises(EdgemlError, match=r"m3: the fleet runs r2 \(m2\) meanwhile; it was judged against r1"):
        releases.publish(project, "m3", {TARGET: file}, releases.Grounds("h", "r1"), store=store)
    with pytest.raises(EdgemlError, match="it was judged against no release"):
        releases.publish(project, "m3", {TARGET: file}, releases.Grounds("h", None), store=store)
    assert sorted(p.name for p in releases.release_file(project, "x").parent.iterdir()) == ["r1", "r2"]


@pytest.mark.parametrize("under_way", [False, True])
def test_what_the_fleet_runs_or_is_being_brought_to_is_not_signed_again(
    project: Project, publish: Any, enrolled: Any, under_way: bool
) -> None:
    if under_way:
        enrolled("line-b-07", last_seen=time.time())
    publish()
    with pytest.raises(EdgemlError, match="m1: r1 is this model already, with the same artifacts"):
        publish()
    assert not releases.release_file(project, "r2").exists()
    assert [publish("m2").name, publish("m1").name] == ["r2", "r3"]  # it is news again


def test_a_release_whose_bundle_was_damaged_is_whole_again_when_its_model_is_released(
    project: Project, publish: Any
) -> None:
    (reference,) = publish().bundles.values()
    releases.bundle_file(project, reference.sha256).write_bytes(b"damaged")
    with pytest.raises(EdgemlError, match="r1 is this model already"):
        publish()
    assert sha256_of(releases.bundle_file(project, reference.sha256)) == reference.sha256


def test_a_store_that_was_lost_does_not_give_a_number_again(project: Project, store: Store, publish: Any) -> None:
    publish()
    signed = releases.release_file(project, "r1").read_bytes()
    with store.writing() as connection:
        for table in (RELEASES, BUNDLES, ROLLOUTS):
            connection.execute(sa.delete(table))
    assert publish("m2").name == "r2"
    assert releases.release_file(project, "r1").read_bytes() == signed


def test_a_signed_file_is_never_written_over(project: Project, publish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    publish()
    signed = releases.release_file(project, "r1").read_bytes()
    monkeypatch.setattr(releases, "_last_number", lambda *_: 0)  # as two stores over one folder would have it
    with pytest.raises(EdgemlError, match="somebody signed a release of this name"):
        publish("m2")
    assert releases.release_file(project, "r1").read_bytes() == signed


@pytest.mark.parametrize("relied_on", ["release", "device", "file"])
def test_a_key_that_is_missing_is_named_and_no_other_is_made(
    project: Project, store: Store, publish: Any, enrolled: Any, served: Running, relied_on: str
) -> None:
    if relied_on == "device":
        enrolled("line-b-07")
    else:
        publish()
    if relied_on == "file":
        with store.writing() as connection:
            for table in (RELEASES, BUNDLES, ROLLOUTS):
                connection.execute(sa.delete(table))
    key = project.fleet_folder / "keys" / "release.key"
    key.unlink()
    for use in (lambda: publish("m2"), lambda: enrol(project, "line-b-08", "line-b", TARGET)):
        with pytest.raises(EdgemlError, match=r"release\.key: the fleet's key is missing; restore it"):
            use()
    if relied_on != "device":
        with pytest.raises(EdgemlError, match=r"release\.key: the fleet's key is missing"):
            releases.read_release(project, "r1")
    assert not key.exists()


def test_the_key_is_made_once_and_for_the_owner_only(project: Project, store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: releases.public_key(project, store), range(16)))) == 1
    folder = project.fleet_folder / "keys"
    assert [p.name for p in folder.iterdir()] == ["release.key"]
    assert (folder.stat().st_mode & 0o777, (folder / "release.key").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_device_is_enrolled_with_a_secret_that_only_it_knows(
    project: Project, store: Store, publish: Any, served: Running
) -> None:
    publish()
    found = enrol(project, "line-b-07", "line-b", TARGET)
    assert (found.broker_host, found.broker_port, found.server_url) == ("127.0.0.1", 1883, served.server_url)
    assert (found.release, found.fleet_key) == ("r1", releases.public_key(project, store))
    assert found.token not in repr(found)
    with store.reading() as connection:
        kept = connection.execute(sa.select(CREDENTIALS)).one()
        device = connection.execute(sa.select(DEVICES)).one()
    assert knows_token(found.token, kept.token_hash)
    assert found.token not in kept.token_hash
    assert (device.state, device.desired, device.group) == ("never_seen", "r1", "line-b")


def test_enrolling_again_changes_the_secret_and_keeps_the_history(
    project: Project, store: Store, served: Running, world: Any
) -> None:
    first = enrol(project, "line-b-07", "line-b", TARGET)
    store.record([world.window()], 1002.0)
    with pytest.raises(EdgemlError, match="line-b-07: another device has this name"):
        enrol(project, "line-b-07", "line-c", TARGET)
    second = enrol_again(project, "line-b-07", "line-c", TARGET)
    with store.reading() as connection:
        kept = connection.scalar(sa.select(CREDENTIALS.c.token_hash)) or ""
        device = connection.execute(sa.select(DEVICES)).one()
    assert knows_token(second.token, kept)
    assert not knows_token(first.token, kept)
    assert (device.group, device.last_seen) == ("line-c", 1002.0)
    revoke(store, "line-b-07")
    with store.reading() as connection:
        assert connection.execute(sa.select(DEVICES)).all() == []  # no rollout waits for it
    with pytest.raises(EdgemlError, match="line-b-07: has no credentials"):
        revoke(store, "line-b-07")
    enrol(project, "line-b-07", "line-b", TARGET)  # the name is free again


@pytest.mark.parametrize("name", ["Line B", "../etc", "a" * 64, "", "-a", "edgeml/+"])
def test_a_name_that_is_unsafe_in_a_topic_is_refused(project: Project, served: Running, name: str) -> None:
    with pytest.raises(EdgemlError, match="no name for a device"):
        enrol(project, name, "line-b", TARGET)


def test_enrolling_needs_a_server_and_a_killed_one_is_none(project: Project, served: Running) -> None:
    announce(project, msgspec.structs.replace(served, pid=2**22 - 1))
    assert find_running(project) is None
    with pytest.raises(EdgemlError, match=r"server\.json: the server does not run; start it with edgeml serve"):
        enrol(project, "line-b-07", "line-b", TARGET)


def test_a_new_device_gets_no_release_that_has_no_bundle_for_it(store: Store, publish: Any) -> None:
    publish()
    with store.reading() as connection:
        assert rollout.release_for(connection, TARGET) == "r1"
        assert rollout.release_for(connection, "x86_64-litert") is None
