"""A device that ssh reaches: its address, and running a shell script there, with files streamed to it.

Secrets travel in the stream only: never in a command, which `ps` shows at both ends.
"""

from __future__ import annotations

import gzip
import io
import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from edgeml_targets.contract.errors import EdgemlError

TIMEOUT_S: Final = 600
SSH_FAILED: Final = 255  # what ssh itself exits with; anything else is the script's
MOST_PORT: Final = 65535
REFUSAL: Final = "edgeml: "
PRELUDE: Final = f"""set -eu
refuse() {{ echo "{REFUSAL}$1; $2" >&2; exit 1; }}
"""
MENDS: Final = {
    "permission denied": "give its key with --ssh-option IdentityFile=/path, or put yours there with ssh-copy-id",
    "host key verification failed": "connect once with ssh, compare the fingerprint, then flash again",
    "no space left": "free some space there, then flash again",
}
_ADDRESS: Final = re.compile(
    r"ssh://(?:(?P<user>\w[\w.-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\])(?::(?P<port>\d{1,5}))?(?:/(?P<folder>.*))?"
)
_FOLDER: Final = re.compile(r"/?[\w.-]+(?:/[\w.-]+)*")  # it is named in a systemd unit, whose quoting has traps


@dataclass(frozen=True)
class Host:
    """A device that ssh reaches: `ssh://user@host:port/folder`; without a folder it is `edgeml` in the user's home."""

    user: str
    host: str
    port: int
    folder: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"ssh://{user}{self.host}{port}/{self.folder}"

    def at(self, folder: str) -> Host:
        """Return the same device with another folder."""
        return replace(self, folder=folder)


def parse_host(destination: str, options: Sequence[str] = ()) -> Host:
    """Read `ssh://[user@]host[:port][/folder]`; an absolute folder begins with two slashes.

    Without a user or a port, what the user's ssh configuration says holds; `port` is 0 then.

    Raises:
        EdgemlError: It is no such address, or the folder is no plain path below home or root.

    Example:
        >>> parse_host("ssh://pi@192.168.0.40:2222//opt/cam").folder, parse_host("ssh://cam-1").folder
        ('/opt/cam', 'edgeml')
    """
    found = _ADDRESS.fullmatch(destination)
    port = int(found["port"] or 0) if found else 0
    if not found or port > MOST_PORT or found["port"] in ("0", "00000"):
        raise EdgemlError(
            "no ssh address", where=destination, mend="write ssh://user@host or ssh://user@host:2222/folder"
        )
    folder = (found["folder"] or "edgeml").removeprefix("~/").rstrip("/")
    if not _FOLDER.fullmatch(folder) or {".", ".."} & set(folder.split("/")):
        raise EdgemlError(
            "no folder for a device", where=destination, mend="use letters, digits, dots, hyphens and underscores"
        )
    return Host(found["user"] or "", found["host"].strip("[]"), port, folder, tuple(options))


def run(host: Host, script: str, *, folders: Sequence[Path] = (), mark: str = "") -> str:
    """Run a shell script on the device; return what it printed.

    Args:
        host: The device.
        script: For `sh`; it stops at the first command that fails. `refuse WHAT MEND` ends it with an error of ours.
        folders: Their contents are streamed to the script's standard input as one gzipped tar, never held whole.
        mark: What a file `mark`, the last in that tar, says; none where it is empty.

    Raises:
        EdgemlError: ssh is missing, the device can't be reached, or the script failed there.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        stdin = subprocess.PIPE if folders else subprocess.DEVNULL
        try:
            process = subprocess.Popen(_command(host, script), stdin=stdin, stdout=said, stderr=complained)
        except FileNotFoundError as error:
            raise EdgemlError("ssh is missing", where="this machine", mend="apt install openssh-client") from error
        with process:
            try:
                if process.stdin is not None:
                    _stream(folders, mark, process.stdin)
                code = process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise EdgemlError(
                    f"no answer for {TIMEOUT_S} s", where=str(host), mend="check it, then flash again"
                ) from error
            finally:
                process.kill()  # it has ended, unless something was raised here
        said.seek(0)
        complained.seek(0)
        if code:
            raise _error(host, code, complained.read().decode(errors="replace"))
        return said.read().decode(errors="replace")


def _command(host: Host, script: str) -> list[str]:
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "LogLevel=ERROR"]
    command += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]  # a pulled cable is noticed in a minute
    command += [part for option in host.options for part in ("-o", option)]
    command += ["-l", host.user] if host.user else []
    command += ["-p", str(host.port)] if host.port else []
    return [*command, "--", host.host, f"exec sh -c {shlex.quote(PRELUDE + script)}"]  # whatever the login shell is


def _stream(folders: Sequence[Path], mark: str, to: IO[bytes]) -> None:
    try:
        with (
            to,
            gzip.GzipFile(fileobj=to, mode="wb", compresslevel=1) as packed,
            tarfile.open(fileobj=packed, mode="w|") as archive,
        ):
            for folder in folders:
                archive.add(folder, arcname=".", filter=_plain)
            if mark:
                entry = tarfile.TarInfo("mark")
                entry.size, entry.mode = len(mark), 0o644
                archive.addfile(entry, io.BytesIO(mark.encode()))
    except BrokenPipeError:
        return  # the other end gave up and says why on its standard error


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _error(host: Host, code: int, complaint: str) -> EdgemlError:
    """Return the one line: a refusal of ours, else what ssh said last, else what the script's command said first."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()] or ["no reason given"]
    for line in lines:
        if line.startswith(REFUSAL):
            what, _, mend = line.removeprefix(REFUSAL).rpartition("; ")
            return EdgemlError(what, where=str(host), mend=mend)
    reason = lines[-1] if code == SSH_FAILED else lines[0]
    usual = "check address, key and network" if code == SSH_FAILED else "mend it there, then flash again"
    mend = next((mend for sign, mend in MENDS.items() if sign in reason.lower()), usual)
    return EdgemlError(reason, where=str(host), mend=mend)
