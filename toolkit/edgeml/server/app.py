"""The HTTP application: releases and bundles for devices, a small API, and the fleet page; and `serve`, which runs it all.

Devices show their name and token (HTTP Basic) and get what is theirs. Everything else is for people on this machine: it
answers to loopback alone, whatever `--listen` says.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from edgeml.project import Project
from edgeml.server import queries, rollout
from edgeml.server.broker import is_loopback, knows_token
from edgeml.server.control import Control
from edgeml.server.releases import bundle_file, release_file
from edgeml.server.store import Store
from edgeml.server.tables import BUNDLES, CREDENTIALS, DEVICES
from edgeml_agent.messages import NAME

FOR_DEVICES: Final = ("/releases/", "/bundles/")
OUR_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
NO_TOKEN: Final = "$2b$04$" + "." * 53  # checked against when a device is unknown, so that the answer takes as long
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
_BASIC: Final = HTTPBasic(realm="edgeml")


@dataclass(frozen=True)
class Caller:
    """A device that showed its token."""

    device: str
    target: str


def build_app(project: Project, store: Store) -> FastAPI:
    """Return the application without the page.

    Args:
        project: Its releases and bundles are served.
        store: Knows devices and their tokens' hashes.
    """
    app = FastAPI(title="edgeml", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(PeopleHere)

    def caller(shown: Annotated[HTTPBasicCredentials, Depends(_BASIC)]) -> Caller:
        return _authenticate(store, shown)

    @app.get("/releases/{name}")
    def release(name: str, device: Caller = Depends(caller)) -> Response:
        del device  # any device may read what is on offer; the signature is what it trusts
        return _file(release_file(project, name) if re.fullmatch(NAME, name) else None)

    @app.get("/bundles/{sha256}")
    def bundle(sha256: str, device: Caller = Depends(caller)) -> Response:
        mine = sa.and_(BUNDLES.c.sha256 == sha256, BUNDLES.c.target == device.target)
        with store.reading() as connection:
            found = connection.scalar(sa.select(BUNDLES.c.sha256).where(mine).limit(1))
        return _file(bundle_file(project, found) if found else None)

    @app.get("/api/fleet")
    def fleet() -> Response:
        return Response(queries.to_json(queries.fleet(store)), media_type="application/json")

    @app.get("/api/decisions")
    def decisions() -> Response:
        return Response(queries.to_json(queries.decisions(store)), media_type="application/json")

    return app


class PeopleHere:
    """Lets nobody but this machine's people to anything that is not for devices.

    The page has buttons that move a fleet. A request must come from loopback, and name this machine as its host: else a
    web page from elsewhere could have its name resolve to 127.0.0.1 and press them.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or refuse it."""
        if scope["type"] == "lifespan" or scope["path"].startswith(FOR_DEVICES) or _is_here(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await Response("The fleet page answers on its own machine only.\n", 403)(scope, receive, send)


class ServerActions:
    """What a person may do from the page."""

    def __init__(self, store: Store, control: Control) -> None:
        self._store, self._control = store, control
        self._by = getpass.getuser()

    def pause(self) -> None:
        """Hold the rollout where it is."""
        rollout.pause(self._store, by=self._by)

    def resume(self) -> None:
        """Let a paused rollout go on."""
        rollout.resume(self._store, by=self._by)

    def roll_back(self) -> None:
        """Take every device back to the release before."""
        rollout.rollback(self._store, by=self._by)

    def retrain(self) -> None:
        """Start a retrain now."""
        self._control.ask_retrain(self._by)


def _authenticate(store: Store, shown: HTTPBasicCredentials) -> Caller:
    query = sa.select(CREDENTIALS.c.token_hash, DEVICES.c.target).join(
        DEVICES, DEVICES.c.device == CREDENTIALS.c.device
    )
    with store.reading() as connection:
        row = connection.execute(query.where(CREDENTIALS.c.device == shown.username)).first()
    if not knows_token(shown.password, row.token_hash if row else NO_TOKEN) or row is None:
        raise HTTPException(401, "unknown device or wrong token", {"WWW-Authenticate": 'Basic realm="edgeml"'})
    return Caller(shown.username, row.target)


def _file(path: Path | None) -> Response:
    if path is None or not path.is_file():
        return Response("no such file\n", 404)
    return FileResponse(path, media_type="application/octet-stream")


def _is_here(scope: Scope) -> bool:
    client = scope.get("client")
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    name = re.sub(r":\d+$", "", host)
    return client is not None and is_loopback(client[0]) and name in OUR_NAMES
