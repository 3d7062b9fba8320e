"""The agent's libraries for a device: wheels by its architecture, Python and C library, unpacked here: no pip there.

What the agent needs is what `pyproject.toml` says: the base and the runtime's extra, less what only a command line needs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeml.workspace import publish, scratch
from edgeml_targets.contract.errors import EdgemlError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION: Final = "edgeml"
NOT_ON_A_DEVICE: Final = frozenset({"typer"})  # the agent is started by its launcher
OLDEST_PYTHON: Final = (3, 10)
OLDEST_GLIBC_MINOR: Final = 17
OLD_NAME: Final = "manylinux2014"  # of glibc 2.17
MOST_UNPACKED_BYTES: Final = 4 << 30
AGENT_PACKAGES: Final = ("edgeml_agent", "edgeml_targets")
UNREACHED: Final = ("NewConnectionError", "Temporary failure in name resolution", "ConnectTimeoutError", "ProxyError")


@dataclass(frozen=True)
class Python:
    """A device's Python: its version, its processor as `platform.machine()` says, its glibc's version."""

    version: tuple[int, int]
    machine: str
    glibc: tuple[int, int]

    @property
    def tags(self) -> list[str]:
        """The platform tags of wheels that run there, newest first.

        Example:
            >>> Python((3, 10), "aarch64", (2, 18)).tags
            ['manylinux_2_18_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64']
        """
        names = [f"manylinux_2_{minor}" for minor in range(self.glibc[1], OLDEST_GLIBC_MINOR - 1, -1)]
        return [f"{name}_{self.machine}" for name in (*names, OLD_NAME)]

    @property
    def name(self) -> str:
        """`aarch64-cp311-glibc236`: the beginning of the name of the folder that keeps its wheels."""
        return f"{self.machine}-cp{self.version[0]}{self.version[1]}-glibc{self.glibc[0]}{self.glibc[1]}"

    @property
    def markers(self) -> Mapping[str, str]:
        """What environment markers (PEP 508) say there."""
        version = f"{self.version[0]}.{self.version[1]}"
        return {
            "python_version": version,
            "python_full_version": f"{version}.0",
            "implementation_version": f"{version}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": self.machine,
            "platform_system": "Linux",
            "platform_release": "",
            "platform_version": "",
            "sys_platform": "linux",
            "os_name": "posix",
            "extra": "",
        }


@dataclass(frozen=True)
class Library:
    """What becomes a device's `lib`: the contents of both folders side by side.

    Args:
        wheels: Other people's packages, kept for the next device of the kind.
        packages: Ours.
        mark: The hash of both: a device that has it needs nothing.
    """

    wheels: Path
    packages: Path
    mark: str


def agent_library(python: Python, extras: Sequence[str], *, kept: Path, made: Path) -> Library:
    """Return the agent and everything that it imports, for a device's Python.

    Args:
        python: The device's.
        extras: Edgeml's extras that the device needs: its runtime's, `images`; one that there is not adds nothing.
        kept: Where wheels are kept for the next device of the kind.
        made: An empty folder, for our own packages: they change more often than their version.

    Raises:
        EdgemlError: A wheel for it can't be had, or the disk is full.
    """
    wanted = requirements(extras)
    wheels = kept / f"{python.name}-{hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]}"
    if not wheels.is_dir():
        with scratch(kept) as unpacked, tempfile.TemporaryDirectory(prefix="edgeml-wheels-") as downloads:
            _download(wanted, python, Path(downloads))
            for wheel in sorted(Path(downloads).glob("*.whl")):
                _unpack(wheel, unpacked)
            publish(unpacked, wheels.name)
    for package in AGENT_PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "exporters", "hardware")
        shutil.copytree(_home_of(package), made / package, ignore=ignored)
    return Library(wheels, made, _hash_of(wheels, made))


def requirements(extras: Sequence[str]) -> list[str]:
    """Return what an agent with these extras of edgeml's requires, sorted, with version bounds."""
    found = map(_requirement, importlib.metadata.requires(DISTRIBUTION) or ())
    wanted = [
        requirement
        for requirement in found
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras)
    ]
    return sorted(f"{r.name}{r.specifier}" for r in wanted if r.name not in NOT_ON_A_DEVICE)


def missing(wheels: Sequence[Path], python: Python) -> set[str]:
    """Return what these wheels require on the device and none of them is, with version bounds."""
    from packaging.utils import canonicalize_name, parse_wheel_filename

    here = {parse_wheel_filename(wheel.name)[0] for wheel in wheels}
    needed = [requirement for wheel in wheels for requirement in _required_by(wheel)]
    return {
        f"{r.name}{r.specifier}"
        for r in needed
        if (r.marker is None or r.marker.evaluate(dict(python.markers))) and canonicalize_name(r.name) not in here
    }


def _download(wanted: list[str], python: Python, to: Path) -> None:
    """Fetch wheels. pip judges markers (`python_version < "3.11"`) by the Python that it runs on: we add what it left out."""
    asked: set[str] = set()
    while True:
        _pip_download([*wanted, *sorted(asked)], python, to)
        lacking = missing(sorted(to.glob("*.whl")), python)
        if not lacking:
            return
        if lacking <= asked:
            raise EdgemlError(
                "pip found no wheel for it", where=", ".join(sorted(lacking)), mend="flash with another Python there"
            )
        asked |= lacking


def _pip_download(wanted: Sequence[str], python: Python, to: Path) -> None:
    version = ".".join(map(str, python.version))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(to)]
    command += ["--disable-pip-version-check", "--implementation", "cp", "--python-version", version]
    command += [part for tag in python.tags for part in ("--platform", tag)]
    environment = {**os.environ, "PIP_NO_INPUT": "1"}
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False, env=environment)
    if not done.returncode:
        return
    if "No module named pip" in done.stderr:
        raise EdgemlError("pip is missing", where=sys.executable, mend="run python -m ensurepip")
    if any(sign in done.stderr for sign in UNREACHED):
        raise EdgemlError("the package index can't be reached", where="pip", mend="check the network, then flash again")
    lines = done.stderr.strip().splitlines() or ["pip download failed"]
    reason = next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")), lines[-1])
    raise EdgemlError(
        f"no wheels for Python {version}, glibc {python.glibc[0]}.{python.glibc[1]} on {python.machine}: {reason}",
        where=", ".join(wanted),
        mend="choose a target whose runtime has wheels there",
    )


def _required_by(wheel: Path) -> list[Requirement]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
        headers = HeaderParser().parsestr(archive.read(name).decode())
    return [_requirement(line) for line in headers.get_all("Requires-Dist") or ()]


def _requirement(line: str) -> Requirement:
    from packaging.requirements import Requirement

    return Requirement(line)


def _unpack(wheel: Path, into: Path) -> None:
    """Unpack a wheel's packages; its scripts and headers stay behind."""
    with zipfile.ZipFile(wheel) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_UNPACKED_BYTES:
            raise EdgemlError("it unpacks to more than 4 GiB", where=wheel.name, mend="look at where it came from")
        for entry in archive.infolist():
            top = entry.filename.split("/", 1)[0]
            if not top.endswith(".data") or "/purelib/" in entry.filename or "/platlib/" in entry.filename:
                archive.extract(entry, into)  # zipfile keeps names inside the folder
    for data in into.glob("*.data"):
        for inner in (data / "purelib", data / "platlib"):
            if inner.is_dir():
                shutil.copytree(inner, into, dirs_exist_ok=True)
        shutil.rmtree(data)


def _home_of(package: str) -> str:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed")
    return spec.submodule_search_locations[0]


def _hash_of(*folders: Path) -> str:
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name, content = str(path.relative_to(folder)), hashlib.sha256(path.read_bytes())
            digest.update(name.encode() + b"\0" + content.digest())
    return digest.hexdigest()
