"""Flash over ssh: the device's folder is made here, sent as one stream, and started at boot where systemd is.

In this order, each step safe to repeat: probe, send what the device lacks into `incoming/`, stop the agent, move everything
into its place, start the agent. What the device still has to tell (its outbox) stays.
"""

from __future__ import annotations

import hashlib
import io
import re
import shlex
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from edgeml.flash.wheels import Python
from edgeml_targets.contract.errors import EdgemlError

TIMEOUT_S: Final = 600
SSH_FAILED: Final = 255  # what ssh itself exits with; anything else is the script's
UNIT: Final = "edgeml-agent.service"
INCOMING: Final = "incoming"
PROBE: Final = """
python3 -c 'import os, platform, sys; print(*sys.version_info[:2], platform.machine(), platform.libc_ver()[1] or "0.0")'
test -d /run/systemd/system && echo systemd || echo none
id -u
"""


@dataclass(frozen=True)
class Host:
    """A device that ssh reaches: `ssh://user@host:port/folder`; without a folder it is `edgeml` in the user's home."""

    user: str
    host: str
    port: int
    folder: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"ssh://{self.user}@{self.host}:{self.port}/{self.folder}"


@dataclass(frozen=True)
class Probe:
    """What a device is: its Python, whether systemd runs there, and whether we are root."""

    python: Python
    systemd: bool
    root: bool


def parse_host(destination: str, options: Sequence[str] = ()) -> Host:
    """Read `ssh://[user@]host[:port][/folder]`; an absolute folder begins with two slashes.

    Raises:
        EdgemlError: It is no such address.
    """
    found = re.fullmatch(
        r"ssh://(?:(?P<user>[A-Za-z0-9_.-]+)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*)(?::(?P<port>\d{1,5}))?(?:/(?P<folder>.*))?",
        destination,
    )
    if not found or not 0 < int(found["port"] or 22) < 65536:
        raise EdgemlError(
            "no ssh address", where=destination, mend="write ssh://user@host or ssh://user@host:2222/folder"
        )
    return Host(
        found["user"] or "", found["host"], int(found["port"] or 22), found["folder"] or "edgeml", tuple(options)
    )


def run(host: Host, script: str, *, folder: Path | None = None, mark: str = "") -> str:
    """Run a shell script on the device; return what it printed.

    Args:
        host: The device.
        script: For `sh`; it stops at the first command that fails.
        folder: Streamed to the script's standard input as a gzipped tar, never held whole.
        mark: What a file `mark` in that tar says; none where it is empty.

    Raises:
        EdgemlError: ssh is missing, the device can't be reached, or the script failed there.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        try:
            stdin = subprocess.DEVNULL if folder is None else subprocess.PIPE
            process = subprocess.Popen(_command(host, script), stdin=stdin, stdout=said, stderr=complained)
        except FileNotFoundError as error:
            raise EdgemlError("ssh is missing", where="this machine", mend="apt install openssh-client") from error
        with process:
            if process.stdin is not None and folder is not None:
                _stream(folder, mark, process.stdin)
            try:
                code = process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise EdgemlError(
                    f"no answer for {TIMEOUT_S} s", where=str(host), mend="check it, then flash again"
                ) from error
        for file in (said, complained):
            file.seek(0)
        if code:
            reason = (complained.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
            way = "check address, key and network" if code == SSH_FAILED else "mend it there, then flash again"
            raise EdgemlError(reason, where=str(host), mend=way)
        return said.read().decode(errors="replace")


def probe(host: Host) -> Probe:
    """Ask the device what it is.

    Raises:
        EdgemlError: It can't be reached or has no python3.
    """
    lines = run(host, PROBE).strip().splitlines()
    try:
        major, minor, machine, libc = lines[-3].split()
        glibc = tuple(map(int, libc.split(".")[:2]))
        python = Python((int(major), int(minor)), machine, (glibc[0], glibc[1]))
        return Probe(python, lines[-2] == "systemd", lines[-1] == "0")
    except (ValueError, IndexError) as error:
        raise EdgemlError("it did not say what it is", where=str(host), mend="install python3 there") from error


def send(host: Host, staged: Path, library: Path) -> bool:
    """Put a prepared folder and the agent's library in place; return whether the library had to be sent.

    Args:
        host: The device.
        staged: The device's folder as it is to be, without `lib`.
        library: What becomes its `lib`.
    """
    mark = _hash_of(library)
    has = run(host, f"cat {_at(host, 'lib', 'mark')} 2>/dev/null || true").strip()
    incoming = _at(host, INCOMING)
    run(host, f"umask 077; rm -rf {incoming}; mkdir -p {incoming}")
    run(host, f"tar -C {incoming} -xzf -", folder=staged)
    if has != mark:
        run(
            host,
            f"mkdir {incoming}/lib && tar -C {incoming}/lib -xzf -",
            folder=library,
            mark=mark,
        )
    return has != mark


def install(host: Host, found: Probe) -> None:
    """Stop the agent, move what was sent into its place, and start it where systemd is."""
    service = _service(host, found) if found.systemd else ""
    stop = f"{_systemctl(found)} stop {UNIT} 2>/dev/null || true" if found.systemd else ""
    run(
        host,
        f"""
{stop}
cd {_at(host)}
for part in lib slots identity.json agent state/journal.json; do
    test -e {INCOMING}/$part || continue
    mkdir -p "$(dirname $part)"
    rm -rf $part && mv {INCOMING}/$part $part
done
mkdir -p inbox state
rm -rf {INCOMING}
{service}
""",
    )


def uninstall(host: Host) -> None:
    """Stop the agent, remove its unit and its folder."""
    found = probe(host)
    unit = _unit_folder(found)
    stop = f"{_systemctl(found)} disable --now {UNIT} 2>/dev/null || true; rm -f {unit}/{UNIT}" if found.systemd else ""
    folder = _at(host)
    run(host, f"{stop}\ntest ! -e {folder} || {{ test -e {folder}/identity.json && rm -rf {folder}; }}")


def _at(host: Host, *parts: str) -> str:
    return "/".join([shlex.quote(host.folder), *parts])


def _systemctl(found: Probe) -> str:
    return "systemctl" if found.root else "systemctl --user"


def _unit_folder(found: Probe) -> str:
    return "/etc/systemd/system" if found.root else "$HOME/.config/systemd/user"


def _service(host: Host, found: Probe) -> str:
    """Return the script that installs and starts the unit; `$PWD` is the device's folder."""
    linger = "" if found.root else "loginctl enable-linger"
    return f"""
mkdir -p {_unit_folder(found)}
cat > {_unit_folder(found)}/{UNIT} <<UNIT
{unit("$PWD", root=found.root)}UNIT
{_systemctl(found)} daemon-reload
{_systemctl(found)} enable --now {UNIT}
{linger}
"""


def unit(folder: str, *, root: bool) -> str:
    """Return the systemd unit of an agent in `folder`; it may write there and nowhere else."""
    return f"""[Unit]
Description=edgeml agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={folder}/agent
Restart=always
RestartSec=5
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={folder}
PrivateTmp=yes

[Install]
WantedBy={"multi-user.target" if root else "default.target"}
"""


def _command(host: Host, script: str) -> list[str]:
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-p", str(host.port)]
    command += [part for option in host.options for part in ("-o", option)]
    return [*command, f"{host.user}@{host.host}" if host.user else host.host, f"set -eu\n{script}"]


def _stream(folder: Path, mark: str, to: IO[bytes]) -> None:
    try:
        with to, tarfile.open(fileobj=to, mode="w|gz", compresslevel=1) as archive:
            archive.add(folder, arcname=".", filter=_plain)
            if mark:
                entry = tarfile.TarInfo("mark")
                entry.size = len(mark)
                archive.addfile(entry, io.BytesIO(mark.encode()))
    except BrokenPipeError:
        return  # the other end gave up and says why on its standard error


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _hash_of(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
