"""A virtual environment a peer, from the pinned lists in `requirements/`: `.peers/<name>/`, made once and kept.

Peers ask for versions that contradict each other and ours, so none shares an environment with edgeml.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of, write_atomic

REQUIREMENTS: Final = Path(__file__).parent / "requirements"
CONSTRAINTS: Final = REQUIREMENTS / "constraints.txt"  # a peer that asks for any torch must not bring another
MADE_OF: Final = ".made-of"  # in a venv: the hash of the list that it was made from; absent while it is being made
MOST_TALK_CHARACTERS: Final = 300


def venv_python(name: str, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, which is made first where it is missing or its list has changed.

    Args:
        name: A file in `requirements/`, without its `.txt`; empty for the environment that runs this.
        folder: Where environments lie.

    Raises:
        EdgemlError: It cannot be installed here; the error's `what` is pip's own last word.
    """
    if not name:
        return Path(sys.executable)
    wanted, home = REQUIREMENTS / f"{name}.txt", folder / name
    python, mark = home / "bin" / "python", home / MADE_OF
    if mark.is_file() and mark.read_text() == sha256_of(wanted):
        return python
    mark.unlink(missing_ok=True)
    _run([sys.executable, "-m", "venv", str(home)], name)
    _run([str(python), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), "-r", str(wanted)], name)
    write_atomic(mark, sha256_of(wanted).encode())
    return python


def _run(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.startswith("ERROR")]
        what = (said or [f"exit {done.returncode}"])[-1][:MOST_TALK_CHARACTERS]
        raise EdgemlError(what, where=f"requirements/{name}.txt", mend="change its pins to versions that are to be had")
