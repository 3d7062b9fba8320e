"""Run the server: store, broker, ingest, control loop, HTTP; and end all of it, whichever way it ends.

What can be refused is refused before anything is started: the credentials, the ports, a second server. SIGTERM and SIGINT
end it with 0. A thread of ours that ends by a bug ends the server, so that whatever supervises it starts a whole one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from edgeml.project import Project
from edgeml.server.app import ServerActions, build_app
from edgeml.server.broker import Address, Broker, Listen, client_id_of, is_loopback, listening, read_address
from edgeml.server.control import Control, token_hashes
from edgeml.server.ingest import Ingest
from edgeml.server.offers import Offers
from edgeml.server.retrain import Retrain
from edgeml.server.running import Running, announce, find_running, withdraw
from edgeml.server.store import Store
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import told

CONNECT_LIMIT_S: Final = 5.0
GRACE_S: Final = 2  # for open pages, whose connections would otherwise hold the end up
ROUND_S: Final = 0.05
ANY: Final = ("0.0.0.0", "::")
IN_CLEAR: Final = (
    "devices' tokens go in clear over HTTP and MQTT beyond this machine, until edgeml speaks HTTPS: use a network that you"
    " trust, or a tunnel"
)
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to serve.

    Args:
        listen: The address that devices reach; beyond loopback it needs enrolled devices.
        port: Of HTTP: the page, releases and bundles; 0 takes a free one.
        mqtt_port: Of the embedded broker; 0 takes a free one.
        broker: An external broker's URL, `None` for the embedded one.
    """

    listen: str = "127.0.0.1"
    port: int = 8080
    mqtt_port: int = 1883
    broker: str | None = None


def serve(project: Project, options: Options, ready: Callable[[Running], None]) -> int:
    """Run the project's server until SIGTERM or SIGINT; call it in the main thread.

    Args:
        project: Whose fleet.
        options: How.
        ready: Called once everything is up.

    Returns:
        0, the exit code.

    Raises:
        EdgemlError: A server runs already, a port is taken, the broker cannot be had, or `listen` reaches beyond loopback
            and no device has credentials.
        RuntimeError: A part of the server ended by a bug.
    """
    stopping = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone(project))
        stack.enter_context(_signals_set(stopping))
        store = Store.of(project)
        stack.callback(store.close)
        hashes = token_hashes(store)
        if not is_loopback(options.listen) and not hashes:
            raise EdgemlError(
                "no device has credentials, so nobody could be told from a stranger",
                where=f"--listen {options.listen}",
                mend="serve on loopback first and enrol devices with edgeml flash",
            )
        http = _sockets(options, stack)
        if not is_loopback(options.listen):
            _LOG.warning("%s", IN_CLEAR)
        address, broker = _broker(project, options, hashes, stack)
        running = _running(options, http[0], address, embedded=broker is not None)
        offers = Offers(store, project.fleet, running.server_url)
        ingest = Ingest(address, store, offers, client_id_of(project.fleet_folder))
        stack.callback(ingest.stop)
        ingest.start()
        if not ingest.wait_connected(CONNECT_LIMIT_S):
            where = f"{address.host}:{address.port}"
            raise EdgemlError("the broker does not take us", where=where, mend="check its address, user and password")
        control = Control(project, store, ingest, Retrain(project, store), broker)
        stack.callback(control.stop)
        control.start()
        stack.callback(withdraw, project)
        app = build_app(project, store)
        _mount_page(app, project, store, control)
        parts = _Parts(ingest, control, stopping)
        asyncio.run(_serve_http(app, http, parts, lambda: _say(project, running, ready)))
    return 0


@dataclass(frozen=True)
class _Parts:
    """What must go on while HTTP is served."""

    ingest: Ingest
    control: Control
    stopping: threading.Event

    def fault(self) -> str:
        """Name the part that ended by itself, if one did."""
        ended = {"ingest": not self.ingest.alive(), "control": not self.control.alive()}
        return ", ".join(name for name, gone in ended.items() if gone)


async def _serve_http(app: object, http: list[socket.socket], parts: _Parts, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # uvicorn's own alias for what FastAPI is
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # who asks decides what is shown: nobody may say so himself
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=http))
    said = False
    while not serving.done():
        if server.started and not said:
            said = True
            ready()
        if parts.stopping.is_set() or parts.fault():
            server.should_exit = True
        await asyncio.wait([serving], timeout=ROUND_S)
    await serving
    if fault := parts.fault():
        raise RuntimeError(f"a part of the server ended by a bug: {fault}")


def _broker(
    project: Project, options: Options, hashes: dict[str, str], stack: contextlib.ExitStack
) -> tuple[Address, Broker | None]:
    url = options.broker or project.fleet.broker
    if url is not None:
        return read_address(url), None
    folder = project.fleet_folder / "broker"
    broker = Broker.start(Listen(options.listen, options.mqtt_port), folder, hashes)
    stack.callback(broker.stop)
    return broker.address, broker


def _sockets(options: Options, stack: contextlib.ExitStack) -> list[socket.socket]:
    """Return the sockets of HTTP: the one that devices reach, and people's on loopback where that is another."""
    sockets = [stack.enter_context(listening(options.listen, options.port))]
    if not is_loopback(options.listen) and options.listen not in ANY:
        sockets.append(stack.enter_context(listening("127.0.0.1", sockets[0].getsockname()[1])))
    return sockets


def _running(options: Options, http: socket.socket, address: Address, *, embedded: bool) -> Running:
    port = http.getsockname()[1]
    outside = socket.getfqdn() if options.listen in ANY else options.listen
    return Running(
        page_url=f"http://{options.listen if is_loopback(options.listen) else '127.0.0.1'}:{port}/",
        server_url=f"http://{outside}:{port}",
        broker_host=outside if embedded else address.host,
        broker_port=address.port,
        pid=os.getpid(),
    )


def _mount_page(app: object, project: Project, store: Store, control: Control) -> None:
    from edgeml.server.page import mount

    mount(app, project, store, ServerActions(store, control))  # type: ignore[arg-type]


def _say(project: Project, running: Running, ready: Callable[[Running], None]) -> None:
    announce(project, running)
    ready(running)


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Hold the project's lock: two servers would judge every window twice."""
    file: Path = project.fleet_folder / "server.lock"
    with told(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.open("wb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            found = find_running(project)
            where = found.page_url if found else str(project.root)
            raise EdgemlError("a server of this project runs already", where=where, mend="stop it first") from error
        yield


@contextlib.contextmanager
def _signals_set(stopping: threading.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT set `stopping`. uvicorn raises them again when it is done, which then changes nothing."""

    def note(_signal: int, _frame: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
