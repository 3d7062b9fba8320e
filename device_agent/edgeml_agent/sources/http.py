"""HTTP on loopback: `POST /infer` answers a sample or a stack of them, `GET /health` says how the agent is.

Bodies are bounded before they are read, connections are bounded in number and in idle time, and a page in a browser may not
post: it could poison the statistics of a device that it cannot even read from.
"""

from __future__ import annotations

import errno
import logging
import re
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import msgspec

from edgeml_agent import AGENT_VERSION
from edgeml_agent.folder import DeviceFolder
from edgeml_agent.identity import Identity
from edgeml_agent.samples import MOST_SAMPLE_BYTES
from edgeml_agent.serving import Serving
from edgeml_targets.contract.errors import EdgemlError

LOG: Final = logging.getLogger(__name__)
LOOPBACK: Final = "127.0.0.1"
MOST_CONNECTIONS: Final = 32
IDLE_S: Final = 30.0
POLL_S: Final = 0.1  # how soon the end is noticed
WHERE: Final = "POST /infer"


class Wrong(msgspec.Struct, frozen=True):
    """An error's one line, as JSON."""

    error: str


class _Refused(Exception):
    """A request that is answered with a status and one line, and after which the connection is of no more use."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # a connection serves many requests
    server_version, sys_version = f"edgeml-agent/{AGENT_VERSION}", ""
    timeout = IDLE_S
    wbufsize = -1  # head and body leave in one packet: two would wait for a delayed acknowledgement
    server: _Server

    def do_POST(self) -> None:
        if self.path != "/infer":
            return self._say(HTTPStatus.NOT_FOUND, Wrong(f"{self.path}: no such path; post to /infer"))
        try:
            body = self._body()
            answered = self.server.serving.answer(body, where=WHERE)
        except _Refused as refused:
            self.server.serving.refuse()
            self.close_connection = True
            return self._say(refused.status, Wrong(str(refused)))
        except EdgemlError as error:
            self.server.serving.refuse()
            return self._say(HTTPStatus.BAD_REQUEST, Wrong(str(error)))
        except Exception:
            self.server.serving.refuse()
            self.close_connection = True
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, Wrong(f"{WHERE}: a fault of the agent's; see its log"))
            raise
        return self._say(HTTPStatus.OK, answered)

    def do_GET(self) -> None:
        if self.path == "/infer":
            return self._say(HTTPStatus.METHOD_NOT_ALLOWED, Wrong("/infer: a sample is needed; post one"))
        if self.path != "/health":
            return self._say(HTTPStatus.NOT_FOUND, Wrong(f"{self.path}: no such path; ask for /health"))
        try:
            health = self.server.serving.health()
        except EdgemlError as error:  # the outbox's disk fails; samples are answered all the same
            return self._say(HTTPStatus.SERVICE_UNAVAILABLE, Wrong(str(error)))
        return self._say(HTTPStatus.OK, health)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what http.server itself refuses, a line that is no HTTP or an unknown method, in our own form."""
        del explain
        self.close_connection = True
        self._say(HTTPStatus(code), Wrong(f"{message or HTTPStatus(code).phrase}; speak HTTP/1.1, GET or POST"))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request; windows count them."""

    def _body(self) -> bytes:
        if "Origin" in self.headers:
            raise _Refused(HTTPStatus.FORBIDDEN, f"{WHERE}: it comes from a web page; post from a program")
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,15}", length):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, f"{WHERE}: no Content-Length; send one")
        if int(length) > MOST_SAMPLE_BYTES:
            raise _Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{WHERE}: {length} bytes, at most {MOST_SAMPLE_BYTES} are read; send fewer samples at once",
            )
        try:
            body = self.rfile.read(int(length))
        except OSError as error:
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, f"{WHERE}: {error}; send it in one go") from error
        if len(body) < int(length):
            raise _Refused(HTTPStatus.BAD_REQUEST, f"{WHERE}: {len(body)} of {length} bytes came; send it whole")
        return body

    def _say(self, status: HTTPStatus, document: msgspec.Struct) -> None:
        content = msgspec.json.encode(document)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an idle connection must not hold up the end
    request_queue_size = MOST_CONNECTIONS
    timeout = POLL_S  # of `handle_request`

    def __init__(self, port: int, serving: Serving) -> None:
        self.serving, self.stopping = serving, threading.Event()
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((LOOPBACK, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for a free thread: whoever comes meanwhile waits in the kernel's queue."""
        while not self._free.acquire(timeout=POLL_S):
            if self.stopping.is_set():
                self.shutdown_request(request)
                return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a fault of ours; a client that went away is none."""
        if not isinstance(sys.exc_info()[1], OSError):
            LOG.exception("while answering %s", client_address)


class Http:
    """Listens on loopback, from the moment it is made.

    Args:
        port: 0 takes any that is free.
        serving: What answers.

    Raises:
        EdgemlError: The port is in use.
    """

    def __init__(self, port: int, serving: Serving) -> None:
        try:
            self._server = _Server(port, serving)
        except OSError as error:
            mend = (
                "stop what listens there, or flash with another port"
                if error.errno == errno.EADDRINUSE
                else "choose another port"
            )
            raise EdgemlError(f"cannot listen: {error.strerror}", where=f"{LOOPBACK}:{port}", mend=mend) from error
        self.address = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        self._running = threading.Lock()

    def run(self) -> None:
        """Answer until `stop`."""
        with self._running:
            while not self._server.stopping.is_set():
                self._server.handle_request()
        self._server.server_close()

    def stop(self) -> None:
        """Take no more connections."""
        self._server.stopping.set()
        with self._running:  # not before the last connection was handed to its thread
            self._server.server_close()


def _open(_folder: DeviceFolder, identity: Identity, serving: Serving) -> Http:
    return Http(identity.http_port, serving)


SOURCE = _open
