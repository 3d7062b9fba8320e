"""HTTP: devices get what is theirs with their token; people get the rest, on this machine only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from edgeml.project import Project
from edgeml.server import queries, releases
from edgeml.server.app import build_app
from edgeml.server.broker import token_hash
from edgeml.server.store import Store

TARGET, OTHER = "x86_64-onnxruntime", "x86_64-litert"
HERE = ("127.0.0.1", 40000)
AWAY = ("10.0.0.9", 40000)
ME = ("line-b-07", "secret")


@pytest.fixture
def release(project: Project, store: Store, world: Any, enrolled: Any, tmp_path: Path) -> Any:
    enrolled("line-b-07", token_hash=token_hash("secret"))
    files = {target: world.bundle(tmp_path / "b", target=target) for target in (TARGET, OTHER)}
    return releases.publish(project, "m1", files, releases.Grounds("h", None), store=store)


@pytest.fixture
def client(project: Project, store: Store, release: Any) -> TestClient:
    return TestClient(build_app(project, store), base_url="http://127.0.0.1:8080", client=HERE)


@pytest.fixture
def away(project: Project, store: Store, release: Any) -> TestClient:
    return TestClient(build_app(project, store), base_url="http://10.0.0.1:8080", client=AWAY)


def test_a_device_fetches_its_release_and_its_bundle_from_wherever_it_is(
    away: TestClient, release: Any, project: Project
) -> None:
    signed = away.get("/releases/r1", auth=ME)
    assert signed.content == releases.release_file(project, "r1").read_bytes()
    ref = release.bundles[TARGET]
    got = away.get(str(signed.url.join(ref.path)), auth=ME)
    assert (got.status_code, len(got.content)) == (200, ref.size_bytes)


def test_a_download_that_was_cut_off_goes_on_where_it_was(client: TestClient, release: Any) -> None:
    ref = release.bundles[TARGET]
    rest = client.get(f"/bundles/{ref.sha256}", auth=ME, headers={"Range": "bytes=100-"})
    assert (rest.status_code, len(rest.content)) == (206, ref.size_bytes - 100)


def test_a_device_gets_no_other_targets_bundle(client: TestClient, release: Any) -> None:
    assert client.get(f"/bundles/{release.bundles[OTHER].sha256}", auth=ME).status_code == 404


@pytest.mark.parametrize(
    "auth", [None, ("line-b-07", "guess"), ("line-b-07", ""), ("nobody", "secret"), ("line-b-07", "é")]
)
def test_without_the_token_there_is_nothing(client: TestClient, release: Any, auth: Any) -> None:
    for path in ("/releases/r1", f"/bundles/{release.bundles[TARGET].sha256}"):
        assert client.get(path, auth=auth).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/releases/r2",
        "/releases/..%2fkeys%2frelease.key",
        "/releases/.",
        "/bundles/..%2f..%2fedgeml.toml",
        "/bundles/x",
    ],
)
def test_what_is_not_there_is_not_found_and_no_path_leads_out(client: TestClient, path: str) -> None:
    assert client.get(path, auth=ME).status_code == 404


def test_people_elsewhere_see_nothing_of_the_fleet(away: TestClient) -> None:
    for path in ("/", "/api/fleet", "/api/decisions", "/devices"):
        assert away.get(path).status_code == 403


def test_a_web_page_that_resolves_to_loopback_is_refused(client: TestClient) -> None:
    assert client.get("/api/fleet", headers={"Host": "evil.example:8080"}).status_code == 403
    assert client.get("/api/fleet", headers={"Host": "localhost:8080"}).status_code == 200


def test_the_api_tells_what_the_terminal_tells(client: TestClient, store: Store) -> None:
    told = msgspec.json.decode(client.get("/api/fleet").content, type=queries.FleetList)
    assert told == queries.fleet(store)
    assert [(d.device, d.state) for d in told.devices] == [("line-b-07", "never_seen")]
    assert client.get("/api/decisions").json()["decisions"][0]["title"] == "r1 runs on the fleet"
