"""Quantize one network by one quantizer in this process, and tell seconds and memory: PYTHON quantize_once.py ASKED.json

A peer's own environment runs this: Python's library and numpy, nothing else. What came out stands in the file that
`told` names; standard output and error belong to the quantizer.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import re
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
MOST_ERROR_CHARACTERS = 400


@dataclass(frozen=True)
class Asked:
    """What a quantizer is given.

    Args:
        model: The float model, ONNX or what the runtime loads.
        samples: An NPZ, an array an input; the first axis counts samples.
        labels: An NPY of classes, (samples,); only ours takes them.
        out: The artifact's place.
        runtime: Which runtime it is for.
    """

    model: str
    samples: str
    labels: str
    out: str
    runtime: str

    def arrays(self) -> dict[str, Any]:
        """Return the calibration samples, an array an input."""
        import numpy as np

        with np.load(self.samples, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}

    def feeds(self) -> list[dict[str, Any]]:
        """Return what the model is fed with, a dictionary a sample; each has a batch axis of 1."""
        arrays = self.arrays()
        return [
            {name: array[i : i + 1] for name, array in arrays.items()} for i in range(len(next(iter(arrays.values()))))
        ]


def peak_bytes() -> int | None:
    """Return the highest resident memory of this process since it began, or `None` where it is not told.

    `getrusage` would count what the process that started this one held, too: Linux carries its maximum over an exec.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def version(package: str) -> str:
    """Return the installed version of a distribution."""
    return importlib.metadata.version(package)


def main() -> None:
    """Do what the file on the command line asks."""
    given = json.loads(Path(sys.argv[1]).read_text())
    sys.path[0] = str(Path(__file__).parents[1])  # not this folder, whose modules might have a library's name
    quantizer = importlib.import_module(f"peers.quantizers.{given['quantizer']}")
    asked = Asked(**given["asked"])
    began, before = time.perf_counter(), os.times()
    error: str = ""
    details: dict[str, Any] = {}
    try:
        details = quantizer.quantize(asked) or {}
    except Exception as raised:  # whatever a peer stops with is its result, and goes into the table
        traceback.print_exc()
        lines = [line.strip() for line in f"{type(raised).__name__}: {raised}".splitlines() if line.strip()]
        error = " ".join(lines)[:MOST_ERROR_CHARACTERS]
    seconds, after = time.perf_counter() - began, os.times()
    told = {
        "seconds": seconds,
        "cpu_seconds": sum(after[:4]) - sum(before[:4]),
        "child_cpu_seconds": sum(after[2:4]) - sum(before[2:4]),
        "peak_bytes": peak_bytes(),
        "version": version(quantizer.PACKAGE),
        "error": error,
        "details": details,
    }
    Path(given["told"]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
