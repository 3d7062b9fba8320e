"""HTTP: what is good is answered, what is not gets one clear line, and nobody can hold the agent up."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from edgeml_agent.messages import decode_up
from edgeml_agent.samples import MOST_SAMPLE_BYTES
from edgeml_agent.serving import Serving
from edgeml_agent.sources.http import MOST_CONNECTIONS, Http
from edgeml_targets.contract.errors import EdgemlError

Npy = Callable[[np.ndarray], bytes]
Pixels = Callable[..., np.ndarray]


@pytest.fixture
def port(serving: Serving) -> Iterator[int]:
    source = Http(0, serving)
    thread = threading.Thread(target=source.run)
    thread.start()
    yield int(source.address.rsplit(":", 1)[1])
    source.stop()
    thread.join(5)
    assert not thread.is_alive()


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def errors(serving: Serving) -> int:
    serving.close_window()
    last = serving._outbox.after(0, most=100)[-1]
    return decode_up(last.payload, topic="edgeml/cam-1/up").errors


def test_many_requests_use_one_connection(port: int, npy: Npy, pixels: Pixels) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for count in (1, 3, 1):
        connection.request("POST", "/infer", npy(pixels(count)))
        held = connection.sock
        answered = json.loads(connection.getresponse().read())
        assert len(answered["answers"]) == count
        assert connection.sock is held is not None
    connection.close()


def test_a_malformed_sample_is_400_counted_and_the_connection_goes_on(
    port: int, serving: Serving, npy: Npy, pixels: Pixels
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for body in (b"", b"nonsense", npy(pixels(1))[:-1], npy(np.zeros((2, 2), "f4"))):
        connection.request("POST", "/infer", body)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        assert answer.status == 400
        assert list(said) == ["error"]
        assert said["error"].startswith("POST /infer: ")
        assert "\n" not in said["error"]
    connection.request("POST", "/infer", npy(pixels(1)))
    assert connection.getresponse().status == 200
    connection.close()
    assert errors(serving) == 4


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/infer", 405), ("POST", "/", 404), ("PUT", "/infer", 501), ("GET", "/health", 200)],
)
def test_other_paths_and_methods(port: int, method: str, path: str, status: int) -> None:
    got, said = ask(port, method, path)
    assert got == status
    assert status == 200 or list(said) == ["error"]


def test_a_body_too_large_is_refused_unread(port: int, serving: Serving) -> None:
    head = f"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST_SAMPLE_BYTES + 1}\r\n\r\n"
    assert raw(port, head.encode()).startswith(b"HTTP/1.1 413")
    assert errors(serving) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"", b"411"),
        (b"Content-Length: -5\r\n", b"411"),
        (b"Content-Length: " + b"9" * 5_000 + b"\r\n", b"411"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"411"),
        (b"Content-Length: 500\r\n", b"400"),
        (b"Content-Length: 3\r\nOrigin: http://evil.example\r\n", b"403"),
    ],
)
def test_bad_heads_are_refused_in_json_and_counted(port: int, serving: Serving, headers: bytes, status: bytes) -> None:
    answer = raw(port, b"POST /infer HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\nabc")
    assert answer.startswith(b"HTTP/1.1 " + status), answer
    assert b'{"error":"POST /infer: ' in answer
    assert errors(serving) == 1


@pytest.mark.parametrize("request_", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"POST /infer HTTP/9.9\r\n\r\n", b"\r\n"])
def test_what_is_no_http_does_no_harm(port: int, request_: bytes) -> None:
    raw(port, request_)
    assert ask(port, "GET", "/health")[0] == 200


def test_idle_connections_do_not_hold_up_the_end(serving: Serving) -> None:
    source = Http(0, serving)
    thread = threading.Thread(target=source.run)
    thread.start()
    port = int(source.address.rsplit(":", 1)[1])
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CONNECTIONS + 5)]
    source.stop()
    thread.join(5)
    assert not thread.is_alive()
    for connection in idle:
        connection.close()


def test_a_port_in_use_is_named(serving: Serving) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EdgemlError, match=f"127.0.0.1:{port}: cannot listen: Address already in use"):
            Http(port, serving)


def test_samples_from_many_connections_are_each_answered_once(
    port: int, serving: Serving, npy: Npy, pixels: Pixels
) -> None:
    statuses: list[int] = []

    def post() -> None:
        for _ in range(10):
            statuses.append(ask(port, "POST", "/infer", npy(pixels(4)))[0])

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    serving.close_window()
    window = decode_up(serving._outbox.after(0, most=1)[0].payload, topic="edgeml/cam-1/up")
    assert statuses == [200] * 60
    assert window.answers == 240
