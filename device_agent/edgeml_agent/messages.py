"""The wire: what devices and the server say to each other over MQTT, as MessagePack, and the release that both read.

device -> server   edgeml/<device>/up     Window, Report     each has an id: (device, boot, sequence)
server -> device   edgeml/<device>/down   Stored, Offer      state, so it is said again at every reconnect

A device deletes a message only when `Stored` names it. Structs grow by fields with defaults only: old agents talk to
new servers. What arrives is hostile until `decode_up` or `decode_down` has validated it.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeVar, Union

import msgspec

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.histogram import Histogram
from edgeml_targets.contract.latencies import Latencies

MOST_MESSAGE_BYTES: Final = 64 << 10
MOST_RELEASE_BYTES: Final = 1 << 20
NAME: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"  # a DNS label: safe in topics, file names and addresses

TARGET: Final = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"  # `x86_64-litert` is no DNS label

Name = Annotated[str, msgspec.Meta(pattern=NAME)]
TargetName = Annotated[str, msgspec.Meta(pattern=TARGET)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Window(msgspec.Struct, frozen=True, kw_only=True, tag="window"):
    """One span of a device's statistics.

    Args:
        device, boot, sequence: The id; `boot` is drawn anew at each start of the agent, `sequence` counts from 1.
        began_at, ended_at: Seconds since 1970, UTC, by the device's clock.
        release, target: What ran.
        answers: How many inputs were answered; `unknown` of them lay farther out than the threshold, `errors` were refused.
        classes: How often each class was answered.
        features: A histogram a feature, in the bins of the bundle's reference; so are `distance` and `confidence`.
        latency_us: How long each inference took; `latency_us.quantile(0.99)` is in microseconds.
        memory_bytes: The agent's resident memory at the end of the window, or `None` where it cannot be read.
        temperature_c: The hottest thermal sensor, or `None`.
        waiting: Messages that were still waiting to be stored when the window closed.
    """

    device: Name
    boot: Name
    sequence: Count
    began_at: float
    ended_at: float
    release: Name
    target: TargetName
    answers: Count
    unknown: Count
    errors: Count
    classes: tuple[Count, ...]
    features: dict[str, Histogram]
    distance: Histogram
    confidence: Histogram
    latency_us: Latencies
    memory_bytes: Count | None = None
    temperature_c: float | None = None
    waiting: Count = 0


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    """Something happened on a device.

    Args:
        device, boot, sequence: The id, from the same count as the windows'.
        at: Seconds since 1970, UTC.
        release: The release that runs now.
        event: `started`, `switched` (to `release`), `refused` (an offer: hash, signature or format), `rolled_back`
            (the self-test failed; `release` is the one that goes on serving), `postponed` (an offer that could not be
            fetched, or for which there is no space: it may be taken up when it is said again), `stopped`.
        detail: One sentence for people, with figures: "self-test 32 of 32".
        offered: The release that the event is about, where it is another one.
        agent, python, machine: Versions and the processor architecture.
    """

    device: Name
    boot: Name
    sequence: Count
    at: float
    release: Name
    target: TargetName
    event: str
    detail: str = ""
    offered: str = ""
    agent: str = ""
    python: str = ""
    machine: str = ""


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """The server has committed these messages of one boot; the device may forget them."""

    boot: Name
    sequences: tuple[Count, ...]


class Offer(msgspec.Struct, frozen=True, tag="offer"):
    """The release that the device should run; said again until it does.

    Args:
        release: Its name.
        url: Where the signed release lies; the bundle's address is relative to it.
    """

    release: Name
    url: str


class BundleRef(msgspec.Struct, frozen=True):
    """Where one target's bundle of a release lies, relative to the release's address, and what it must be."""

    path: str
    size_bytes: Count
    sha256: Hash


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest that names one bundle a target.

    Args:
        name: `r1`, `r2`, ...: the number rises.
        created_at: Seconds since 1970, UTC.
        model: The model's id.
        bundles: A bundle a target.
        ledger_head: The hash of the ledger's last record when the release was signed.
        notes: One sentence for people.
    """

    schema: str = "edgeml.release/1"
    name: Name
    created_at: float
    model: str
    bundles: dict[str, BundleRef]
    ledger_head: str
    notes: str = ""


class SignedRelease(msgspec.Struct, frozen=True):
    """A release's JSON, to the byte, and the fleet key's Ed25519 signature over it (RFC 8032)."""

    payload: bytes
    signature: bytes


Up = Union[Window, Report]  # noqa: UP007 -- evaluated at run time, also on 3.10
Down = Union[Stored, Offer]  # noqa: UP007


def up_topic(device: str) -> str:
    """Return the topic that a device publishes to."""
    return f"edgeml/{device}/up"


def down_topic(device: str) -> str:
    """Return the topic that a device listens to."""
    return f"edgeml/{device}/down"


def device_of(topic: str) -> str | None:
    """Return the device that an `up` topic belongs to, or `None` where it is none."""
    found = re.fullmatch(r"edgeml/([a-z0-9-]{1,63})/up", topic)
    return found[1] if found else None


def encode(message: Up | Down) -> bytes:
    """Return a message as MessagePack."""
    return msgspec.msgpack.encode(message)


def decode_up(payload: bytes, *, topic: str) -> Up:
    """Read what a device said on `topic`.

    Raises:
        EdgemlError: The message is too large, malformed, or speaks for another device.
    """
    message = _decode(payload, _UP, topic)
    if message.device != device_of(topic):
        raise EdgemlError(f"speaks for {message.device}", where=topic, mend="check the device's identity")
    return message


def decode_down(payload: bytes, *, topic: str) -> Down:
    """Read what the server said on `topic`.

    Raises:
        EdgemlError: The message is too large or malformed.
    """
    return _decode(payload, _DOWN, topic)


def decode_release(signed: SignedRelease, *, where: str) -> Release:
    """Read a release whose signature was verified.

    Raises:
        EdgemlError: The payload is no release.
    """
    try:
        return msgspec.json.decode(signed.payload, type=Release)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EdgemlError(
            f"no release: {error}", where=where, mend="sign it again with edgeml fleet release"
        ) from error


_UP: Final[msgspec.msgpack.Decoder[Up]] = msgspec.msgpack.Decoder(Up)
_DOWN: Final[msgspec.msgpack.Decoder[Down]] = msgspec.msgpack.Decoder(Down)
_T = TypeVar("_T")


def _decode(payload: bytes, decoder: msgspec.msgpack.Decoder[_T], topic: str) -> _T:
    if len(payload) > MOST_MESSAGE_BYTES:
        raise EdgemlError(f"{len(payload)} bytes, at most {MOST_MESSAGE_BYTES}", where=topic, mend="shorten the window")
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EdgemlError(f"malformed message: {error}", where=topic, mend="check the agent's version") from error
