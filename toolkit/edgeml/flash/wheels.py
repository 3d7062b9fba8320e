"""The agent's wheels for a device: found by the device's architecture and Python, unpacked here, so that the device needs no pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeml_targets.contract.errors import EdgemlError

BASE: Final = ("numpy", "msgspec", "paho-mqtt", "typer", "cryptography")
OF_RUNTIME: Final = {
    "onnxruntime": ("onnxruntime",),
    "litert": ("ai-edge-litert",),
    "openvino": ("openvino",),
    "tensorrt": (),
}
IMAGES: Final = "pillow"
OLDEST_PYTHON: Final = (3, 10)
GLIBC: Final = ("2_39", "2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17")
LEGACY: Final = "manylinux2014"
MOST_UNPACKED_BYTES: Final = 4 << 30
AGENT_PACKAGES: Final = ("edgeml_agent", "edgeml_targets")


@dataclass(frozen=True)
class Python:
    """A device's Python: its version, its processor architecture as `platform.machine()` says, its C library's version."""

    version: tuple[int, int]
    machine: str
    glibc: tuple[int, int]

    @property
    def tags(self) -> list[str]:
        """The platform tags of wheels that run there, newest first."""
        names = [f"manylinux_{v}_{self.machine}" for v in GLIBC if tuple(map(int, v.split("_"))) <= self.glibc]
        return [*names, f"{LEGACY}_{self.machine}"]

    @property
    def name(self) -> str:
        """`aarch64-cp311-glibc236`: the name of the folder that keeps its wheels."""
        return f"{self.machine}-cp{self.version[0]}{self.version[1]}-glibc{self.glibc[0]}{self.glibc[1]}"


def agent_library(python: Python, runtime: str, *, images: bool, kept: Path) -> Path:
    """Return a folder with the agent and everything it imports, unpacked for a device's Python.

    Args:
        python: The device's.
        runtime: The runtime of the device's target.
        images: Whether the bundle takes images, which need Pillow.
        kept: Where wheels are kept for the next device of the kind.

    Raises:
        EdgemlError: The device's Python is too old, or a wheel for it can't be had.
    """
    if python.version < OLDEST_PYTHON:
        found = ".".join(map(str, python.version))
        raise EdgemlError(
            f"its Python is {found}, 3.10 is needed", where="the device", mend="install a newer python3 there"
        )
    names = [*BASE, *OF_RUNTIME[runtime], *([IMAGES] if images else [])]
    folder = kept / f"{python.name}-{runtime}{'-images' if images else ''}"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="edgeml-wheels-") as downloads:
            _download(names, python, Path(downloads))
            for wheel in sorted(Path(downloads).glob("*.whl")):
                _unpack(wheel, folder)
        (folder / "whole").touch()
    for package in AGENT_PACKAGES:  # ours are copied anew each time: they change more often than their version
        shutil.rmtree(folder / package, ignore_errors=True)
        source = Path(_home_of(package))
        shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__", "exporters"))
    return folder


def _download(names: list[str], python: Python, to: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--dest", str(to)]
    command += ["--implementation", "cp", "--python-version", ".".join(map(str, python.version))]
    command += [part for tag in python.tags for part in ("--platform", tag)]
    done = subprocess.run(
        [*command, *names], capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INPUT": "1"}
    )
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip download failed")
        raise EdgemlError(
            f"no wheels for Python {'.'.join(map(str, python.version))} on {python.machine}: {reason.removeprefix('ERROR: ')}",
            where=", ".join(names),
            mend="choose a target whose runtime has wheels there",
        )


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
    import importlib.util

    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"{package} is not installed")
    return spec.submodule_search_locations[0]
