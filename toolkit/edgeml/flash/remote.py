"""What is done on a device over ssh, each step safe to repeat:

1. probe: what it is; nothing is changed;
2. open `incoming/` and send what the device lacks into it; its agent runs on meanwhile;
3. install: stop the agent, move everything into its place, the identity last, start the agent.

What it still has to tell the server (`state/outbox.db`) and its inbox stay. Whatever interrupts this, flashing again
mends it: nothing is moved into place before all of it has come.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import msgspec

from edgeml.flash import unit
from edgeml.flash.ssh import Host, run
from edgeml.flash.wheels import Library
from edgeml_targets.contract.errors import EdgemlError

INCOMING: Final = "incoming"
START_LIMIT_S: Final = 60
OURS: Final = "agent identity.json inbox incoming lib lingers slots state"

_NEED_PYTHON: Final = 'command -v python3 >/dev/null || refuse "there is no python3" "install python3 there"\n'
_PROBE: Final = """
import json, os, platform, struct, sys
folder = os.path.realpath(sys.argv[1])
try:
    with open(os.path.join(folder, "identity.json")) as file:
        identity = json.load(file)
    device, fleet_key = identity["device"], identity["fleet_key"]
except (OSError, ValueError, KeyError):
    device = fleet_key = ""
libc, version = platform.libc_ver()
print(json.dumps({
    "python": list(sys.version_info[:2]), "executable": sys.executable, "machine": platform.machine(), "bits": 8 * struct.calcsize("P"),
    "libc": libc, "libc_version": version, "folder": folder, "device": device, "fleet_key": fleet_key,
    "systemd": os.path.isdir("/run/systemd/system"), "root": os.getuid() == 0,
}))
"""
_ALONE: Final = """
import fcntl, sys
try:
    lock = open("state/lock")
except OSError:
    sys.exit(0)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(1)
"""
# Set `ctl` and `units`: the manager that starts the agent, and where its units lie.
_MANAGER: Final = f"""
if test "$(id -u)" = 0; then ctl=systemctl; journal=journalctl; units=/etc/systemd/system
else
    export XDG_RUNTIME_DIR="${{XDG_RUNTIME_DIR:-/run/user/$(id -u)}}"
    ctl="systemctl --user"; journal="journalctl --user"; units=$HOME/.config/systemd/user
fi
unit=$units/{unit.NAME}
mine() {{ test -e "$unit" && grep -qxF "ExecStart=$(pwd -P)/agent" "$unit"; }}
"""
_STOPPED: Final = f"""
if mine; then $ctl stop {unit.NAME}; fi
if command -v python3 >/dev/null; then
    python3 -c {shlex.quote(_ALONE)} || refuse "its agent runs, and nothing of ours started it" "stop it there first"
fi
"""
_ONLY_OURS: Final = f"""
for entry in $(ls -A); do
    case " {OURS} " in *" $entry "*) ;; *) test -e identity.json || refuse "something else lies there" "choose an empty folder" ;; esac
done
"""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What a device is.

    Args:
        python, executable: Its python3's version and place.
        machine, bits: Its processor as `platform.machine()` says, and the width of its Python: a 32-bit system runs on a
            64-bit kernel.
        libc, libc_version: Its C library, `glibc` and `2.36`.
        folder: The device's folder, absolute.
        device, fleet_key: The name in its identity and the key that it believes; empty where it was not flashed yet.
        systemd: Whether systemd runs there.
        root: Whether we are root there.
    """

    python: tuple[int, int]
    executable: str
    machine: str
    bits: int
    libc: str
    libc_version: str
    folder: str
    device: str
    fleet_key: str
    systemd: bool
    root: bool


def probe(host: Host) -> Probe:
    """Ask the device what it is.

    Raises:
        EdgemlError: It can't be reached, has no python3, or does not say what it is.
    """
    said = run(host, f"{_NEED_PYTHON}python3 -c {shlex.quote(_PROBE)} {shlex.quote(host.folder)}")
    try:
        return msgspec.json.decode(said.strip().splitlines()[-1], type=Probe)  # a login script may talk before
    except (msgspec.MsgspecError, IndexError) as error:
        raise EdgemlError("it did not say what it is", where=str(host), mend="check python3 there") from error


def open_incoming(host: Host, found: Probe) -> None:
    """Make the device's folder and an empty `incoming/` in it, readable by their owner only.

    Raises:
        EdgemlError: Something else lies there, an agent runs there that can't be stopped from here, or another device of
            this machine is started at boot already.
    """
    running = "" if found.systemd else _STOPPED
    boot = f'test ! -e "$unit" || mine || refuse "another device is started there by {unit.NAME}" "uninstall it first"'
    run(
        host,
        f"""umask 077
mkdir -p {shlex.quote(found.folder)}
cd {shlex.quote(found.folder)}
{_MANAGER}{_ONLY_OURS}{running}
{boot if found.systemd else ""}
rm -rf {INCOMING}
mkdir {INCOMING}
""",
    )


def send_library(host: Host, found: Probe, library: Library) -> bool:
    """Send what becomes the device's `lib`, unless the same is there; return whether it was sent.

    Raises:
        EdgemlError: The device can't be reached or its disk is full.
    """
    folder = shlex.quote(found.folder)
    if run(host, f"cat {folder}/lib/mark 2>/dev/null || true").strip() == library.mark:
        return False
    into = f"{folder}/{INCOMING}/lib"
    run(host, f"mkdir {into}\n{_unpack(into)}", folders=[library.wheels, library.packages], mark=library.mark)
    return True


def send(host: Host, found: Probe, staged: Path) -> None:
    """Send the rest of the device's folder as it is to be.

    Raises:
        EdgemlError: The device can't be reached or its disk is full.
    """
    run(host, _unpack(f"{shlex.quote(found.folder)}/{INCOMING}"), folders=[staged])


def install(host: Host, found: Probe) -> None:
    """Stop the agent, move what was sent into its place, and start it where systemd is.

    Raises:
        EdgemlError: The agent runs and can't be stopped from here, or it does not start.
    """
    run(
        host,
        f"""umask 077
cd {shlex.quote(found.folder)}
{_MANAGER}{_STOPPED}
mkdir -p inbox state {INCOMING}/old
rm -f state/agent.json
for part in lib slots state/journal.json agent identity.json; do
    test -e {INCOMING}/$part || continue
    if test -e $part; then mv $part {INCOMING}/old/; fi
    mv {INCOMING}/$part $part
done
{_start() if found.systemd else ""}
rm -rf {INCOMING}
sync
""",
    )


def uninstall(host: Host) -> None:
    """Stop the agent and remove its unit and its folder, the identity last: until then it can be repeated.

    Raises:
        EdgemlError: There is no device, its agent runs and can't be stopped from here, or it can't be reached.
    """
    none = 'refuse "there is no device" "name the folder that was flashed"'
    run(
        host,
        f"""cd {shlex.quote(host.folder)} 2>/dev/null || {none}
{_MANAGER}
test -e identity.json || test -e {INCOMING} || {none}
{_ONLY_OURS}{_STOPPED}
if mine; then
    $ctl disable {unit.NAME} 2>/dev/null || true
    rm -f "$unit"
    $ctl daemon-reload
fi
if test -e lingers; then loginctl disable-linger; fi
find . -mindepth 1 -maxdepth 1 ! -name identity.json -exec rm -rf {{}} +
here=$(pwd -P)
rm -rf "$here/identity.json"
cd /
rmdir "$here"
""",
    )


def _unpack(into: str) -> str:
    return f"tar -C {into} -xzf - || {{ rm -rf {into}; exit 1; }}\n"  # a full disk is left as it was


def _start() -> str:
    return f"""
mkdir -p "$units"
mv {INCOMING}/{unit.NAME} "$unit"
chmod 644 "$unit"
$ctl daemon-reload
if test "$(id -u)" != 0 && test "$(loginctl show-user "$(id -un)" --property=Linger --value 2>/dev/null)" != yes; then
    loginctl enable-linger || refuse "it may not start the agent at boot" "run sudo loginctl enable-linger $(id -un) there"
    : > lingers
fi
$ctl enable {unit.NAME} 2>/dev/null
$ctl start {unit.NAME}
seconds=0
until test -e state/agent.json; do
    test $seconds -lt {START_LIMIT_S} || refuse "its agent does not start: $($journal -u {unit.NAME} -n 1 -o cat 2>&1)" "see $journal -u {unit.NAME} there"
    seconds=$((seconds + 1))
    sleep 1
done
"""
