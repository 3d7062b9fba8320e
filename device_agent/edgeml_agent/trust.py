"""What a device believes: a release that the fleet's key signed, byte for byte, and nothing else."""

from __future__ import annotations

import msgspec

from edgeml_agent.messages import Offer, Release, SignedRelease, decode_release
from edgeml_targets.contract.errors import EdgemlError


def verified(content: bytes, offer: Offer, *, fleet_key: str, where: str) -> Release:
    """Return the release in `content`, MessagePack of a `SignedRelease`.

    Args:
        content: As it was fetched.
        offer: What was offered; a release of another name is refused, though it be signed.
        fleet_key: The fleet's Ed25519 public key, 64 hex digits.
        where: Names it in errors.

    Raises:
        EdgemlError: It is malformed, its signature is wrong, or it is another release.

    Source: RFC 8032.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        signed = msgspec.msgpack.decode(content, type=SignedRelease)
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(fleet_key)).verify(signed.signature, signed.payload)
    except msgspec.MsgspecError as error:
        raise EdgemlError(f"no signed release: {error}", where=where, mend="sign it again") from error
    except InvalidSignature as error:
        raise EdgemlError(
            "its signature is not the fleet's",
            where=where,
            mend="sign it with the fleet's key, or flash the device again",
        ) from error
    release = decode_release(signed, where=where)
    if release.name != offer.release:
        raise EdgemlError(
            f"it is {release.name}, offered was {offer.release}", where=where, mend="offer it by its name"
        )
    return release
