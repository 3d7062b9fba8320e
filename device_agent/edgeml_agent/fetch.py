"""Files from the server, with the device's credentials and with limits that hold while reading.

EdgemlError            it will not work: what the server sends is not what was signed, or lies elsewhere
└── NotNow             it may work later: no connection, the server says no, a file cut off, no space
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import urljoin, urlsplit

from edgeml_agent.identity import Identity
from edgeml_agent.messages import MOST_RELEASE_BYTES, BundleRef
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import CHUNK_BYTES, replacing

READ_TIMEOUT_S: Final = 30.0
LEAST_BYTES_PER_S: Final = 2_000  # a server that drips slower holds the connection for nothing
SPARE_BYTES: Final = 16 << 20  # left free on the disk for the outbox and everybody else


class NotNow(EdgemlError):
    """It may work later, unchanged."""


class Server:
    """The one server that a device fetches from: its credentials are shown to no other.

    Args:
        identity: Names the server and holds the credentials.
    """

    def __init__(self, identity: Identity) -> None:
        self._base = identity.server_url.rstrip("/") + "/"
        secret = base64.b64encode(f"{identity.device}:{identity.token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Accept-Encoding": "identity"}
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    def address(self, url: str, relative_to: str = "") -> str:
        """Return `url` whole.

        Raises:
            EdgemlError: It leads to another server.
        """
        address = urljoin(relative_to or self._base, url)
        if urlsplit(address)[:2] != urlsplit(self._base)[:2]:
            raise EdgemlError(
                "it leads away from the device's server", where=address, mend=f"offer one at {self._base}"
            )
        return address

    def release(self, address: str) -> bytes:
        """Fetch a signed release, not yet verified.

        Raises:
            NotNow: It may work later.
            EdgemlError: It is too large.
        """
        content = b"".join(self._read(address, MOST_RELEASE_BYTES))
        if len(content) > MOST_RELEASE_BYTES:
            raise EdgemlError(f"more than {MOST_RELEASE_BYTES} bytes", where=address, mend="sign a shorter release")
        return content

    def bundle(self, address: str, asked: BundleRef, to: Path) -> None:
        """Fetch a bundle into the file `to`, which then is what was signed, to the byte.

        Raises:
            NotNow: It may work later.
            EdgemlError: It is another file than `asked`, or it cannot be written.
        """
        to.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(to.parent).free
        if free < (needed := 3 * asked.size_bytes + SPARE_BYTES):  # the file, and its members unpacked
            raise NotNow(f"{free} bytes are free, {needed} are needed", where=str(to), mend="free some space")
        digest, size = hashlib.sha256(), 0
        with replacing(to) as file:
            for chunk in self._read(address, asked.size_bytes):
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
            if size < asked.size_bytes:
                raise NotNow(f"{size} of {asked.size_bytes} bytes came", where=address, mend="it is tried again")
            if size > asked.size_bytes or digest.hexdigest() != asked.sha256:
                raise EdgemlError("it is not the file that was signed", where=address, mend="sign the release again")

    def _read(self, address: str, most_bytes: int) -> Iterator[bytes]:
        """Yield an answer's body in chunks; at most one byte more than `most_bytes`, which says that there was more."""
        deadline = time.monotonic() + READ_TIMEOUT_S + most_bytes / LEAST_BYTES_PER_S
        left = most_bytes + 1
        try:
            with self._opener.open(
                urllib.request.Request(address, headers=self._headers), timeout=READ_TIMEOUT_S
            ) as answer:
                while left and (chunk := answer.read1(min(CHUNK_BYTES, left))):
                    left -= len(chunk)
                    yield chunk
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"slower than {LEAST_BYTES_PER_S} bytes a second")
        except urllib.error.HTTPError as error:
            error.close()
            said = f"the server answers {error.code} {error.reason}"  # a file may come, credentials be mended
            raise NotNow(said, where=address, mend="look at its log") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotNow(f"not fetched: {error}", where=address, mend="check the connection") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the credentials elsewhere."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follow none: the answer then counts as a refusal."""
