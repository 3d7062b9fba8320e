"""Runtimes: a file each loads an artifact and runs it. The folder is the list; a new runtime is one new file.

Each file ends in `RUNTIME = ...` and imports its library in `load()` and `version()` only.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor

Tensors = Mapping[str, npt.NDArray[Any]]


class Session(Protocol):
    """One loaded artifact, used by one thread.

    Its inputs and outputs have the float model's names, layout and element types, whatever the artifact's own.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Return every output by name. A batch of another size than the last may be given where `inputs` has -1."""

    def close(self) -> None:
        """Let go of the artifact; `run` must not be called any more."""


class Runtime(Protocol):
    """Loads artifacts of one format."""

    suffix: str
    """The end of its artifacts' names, `.onnx`."""

    def version(self) -> str:
        """Return the installed library's version; ImportError when it is not installed."""

    def load(self, artifact: Path, settings: Settings) -> Session:
        """Return a session; EdgemlError when the artifact cannot be loaded."""


def runtime_names() -> list[str]:
    """Return the names of all runtimes, sorted; also of those whose library is not installed."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find_runtime(name: str) -> Runtime:
    """Return a runtime by name.

    Raises:
        EdgemlError: There is none of that name.
    """
    if name not in runtime_names():
        raise EdgemlError("no such runtime", where=name, mend=f"choose one of {', '.join(runtime_names())}")
    found: Runtime = importlib.import_module(f"{__name__}.{name}").RUNTIME
    return found


def installed(name: str) -> bool:
    """Tell whether a runtime's library can be imported here."""
    try:
        find_runtime(name).version()
    except ImportError:
        return False
    return True


__all__ = ["Runtime", "Session", "Tensors", "find_runtime", "installed", "runtime_names"]
