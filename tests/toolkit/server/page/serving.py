"""Serve the page of a seeded fleet: `python serving.py FOLDER FLEET PORT`; prints one line when it answers."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

sys.path.insert(0, str(Path(__file__).parent))
from fleets import fill

from edgeml.server.page import mount
from edgeml_targets.contract.errors import EdgemlError


class Said:
    """Deeds that only note that they were asked for; retraining is refused, as a busy server would."""

    def __init__(self, note: Path) -> None:
        self._note = note

    def pause(self) -> None:
        self._write("pause")

    def resume(self) -> None:
        self._write("resume")

    def roll_back(self) -> None:
        self._write("roll_back")

    def retrain(self) -> None:
        raise EdgemlError("a retrain runs already", where="retrain", mend="wait until it has ended")

    def _write(self, deed: str) -> None:
        with self._note.open("a") as file:
            file.write(f"{deed}\n")


def main(folder: Path, fleet: str, port: int) -> None:
    seed = fill(folder, fleet, time.time())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        print("ready", flush=True)
        yield

    app = FastAPI(lifespan=lifespan)
    mount(app, seed.project, seed.store, Said(folder / "deeds.txt"))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
