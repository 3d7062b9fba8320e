"""What ours for the three runtimes share: the documented call, `edgeml.compress`, for one target."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

CALL: Final = "edgeml.compress(model, samples, [target], out, options=Options(labels=labels))"


class Steps:
    """Notes how long each step took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._step, self._began = "", 0.0

    def begin(self, step: str) -> None:
        """Note the time."""
        self._step, self._began = step, time.perf_counter()

    def advance(self, done: float, of: float, text: str = "") -> None:
        """Nothing to note."""

    def end(self, result: str, *, warning: bool = False) -> None:
        """Note the time since."""
        took = time.perf_counter() - self._began
        self.seconds[self._step] = self.seconds.get(self._step, 0.0) + took


def compress_for(target: str, asked: Asked) -> dict[str, Any]:
    """Write the artifact that ours chooses for a target; return which it is and how long each step took."""
    import edgeml
    from edgeml.compression import Options

    steps = Steps()
    options = Options(labels=Path(asked.labels) if asked.labels else None)
    here = Path(asked.out).parent
    with tempfile.TemporaryDirectory(dir=here) as folder:
        found = edgeml.compress(
            Path(asked.model), Path(asked.samples), [target], Path(folder) / "out", options=options, progress=steps
        )
        chosen = found.targets[0]
        shutil.copyfile(Path(chosen.artifact), asked.out)
    return {"chosen": chosen.chosen, "reason": chosen.reason, "notes": list(chosen.notes), "steps": steps.seconds}
