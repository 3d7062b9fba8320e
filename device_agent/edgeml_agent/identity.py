"""Who a device is: written once when it is flashed, read at each start, and for no other eyes (mode 0600)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from edgeml_agent.messages import Hash, Name, TargetName
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

FILE: Final = "identity.json"
OWNER_ONLY: Final = 0o600

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrAny = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a device is, whom it talks to, and whose releases it trusts.

    Args:
        device: Its name; also its MQTT user name and client id.
        group: The group that it belongs to.
        target: The target whose bundle it takes from a release.
        broker_host, broker_port: Where the MQTT broker listens.
        token: Its secret, the password for MQTT and HTTP.
        server_url: Where releases lie, `http://127.0.0.1:8080`.
        fleet_key: The fleet's Ed25519 public key, 64 hex digits: only what it signed is installed.
        window_s: Length of a window, seconds.
        http_port: The loopback port that the agent answers at; 0 takes any that is free.
    """

    device: Name
    group: Name
    target: TargetName
    broker_host: str
    broker_port: Port
    token: str
    server_url: str
    fleet_key: Hash
    window_s: Seconds = 60.0
    http_port: PortOrAny = 0

    def __repr__(self) -> str:
        """Name the device, never its secret: a traceback may end in a log."""
        return f"Identity({self.device!r}, target={self.target!r})"


def read_identity(folder: Path) -> Identity:
    """Return the identity of the device whose folder is `folder`.

    Raises:
        EdgemlError: There is none, or a field is missing or wrong; the error names it.
    """
    file = folder / FILE
    mend = "prepare the folder with edgeml flash"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Identity)
    except FileNotFoundError as error:
        raise EdgemlError("no identity here", where=str(file), mend=mend) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise EdgemlError(f"no identity: {error}", where=str(file), mend=mend) from error


def write_identity(folder: Path, identity: Identity) -> Path:
    """Write `identity` into a device's folder, whole, readable by its owner only; return the file.

    Raises:
        EdgemlError: The folder cannot be written to.
    """
    file = folder / FILE
    write_atomic(file, msgspec.json.format(msgspec.json.encode(identity), indent=1), mode=OWNER_ONLY)
    return file
