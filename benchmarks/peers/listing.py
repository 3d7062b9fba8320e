"""The quantizers, read from the files in `quantizers/`."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeml_targets.contract.errors import EdgemlError
from peers import quantizers, venvs

OURS: Final = "ours_"
CODE: Final = ("edgeml_compress", "edgeml_targets", "edgeml_bench", "edgeml.compression", "edgeml.calibration_data")
"""What decides how ours comes out: its measurements are made again when one of these changes."""


@dataclass(frozen=True)
class Quantizer:
    """One file of `quantizers/`; see there for the fields."""

    name: str
    title: str
    venv: str
    runtime: str
    suffix: str
    call: str

    @property
    def is_ours(self) -> bool:
        """Whether it is ours; the others are peers."""
        return self.name.startswith(OURS)

    def fingerprint(self) -> str:
        """Return the hash of what decides how its artifacts come out: its file and its environment, or our code."""
        own = [Path(quantizers.__path__[0]) / f"{self.name}.py"]
        rest = _our_code() if self.is_ours else [venvs.REQUIREMENTS / f"{self.venv}.txt"]
        if self.runtime == "litert" and not self.is_ours:
            rest.append(Path(__file__).with_name("givens.py"))  # which writes the file that it is given
        digest = hashlib.sha256()
        for path in [*own, *rest]:
            digest.update(path.read_bytes())
        return digest.hexdigest()


def all_quantizers() -> list[Quantizer]:
    """Return ours and the peers, those of one runtime side by side, ours first."""
    found = [_read(module.name) for module in pkgutil.iter_modules(quantizers.__path__)]
    runtimes = [q.runtime for q in sorted(found, key=lambda q: -sum(f.runtime == q.runtime for f in found))]
    return sorted(found, key=lambda q: (runtimes.index(q.runtime), not q.is_ours, q.name))


def chosen_quantizers(names: Sequence[str]) -> list[Quantizer]:
    """Return the quantizers of these names, in the order of the list; all where there are none.

    Raises:
        EdgemlError: There is none of a name.
    """
    found = all_quantizers()
    known = [q.name for q in found]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or [", ".join(known)]
            raise EdgemlError("no such quantizer", where=name, mend=f"did you mean {near[0]}?")
    return [q for q in found if not names or q.name in names]


def _read(name: str) -> Quantizer:
    module = importlib.import_module(f"{quantizers.__name__}.{name}")
    return Quantizer(name, module.TITLE, module.VENV, module.RUNTIME, module.SUFFIX, module.CALL)


def _our_code() -> list[Path]:
    files: list[Path] = []
    for name in CODE:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise EdgemlError("not installed", where=name, mend="make install")
        whole = found.submodule_search_locations is not None
        files += [Path(found.origin)]
        files += [f for end in ("py", "toml") for f in sorted(Path(found.origin).parent.rglob(f"*.{end}")) if whole]
    return files
