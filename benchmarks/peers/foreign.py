"""Compress the networks that people ship (`tests/foreign`) by default, and check them on fresh inputs.

Usage: python benchmarks/peers/foreign.py [NAME ...] [--samples 144] [--fresh 48]

Prints one table, a row a file: the candidate that was chosen, the worst cosine of any output on fresh inputs of the kind that
the network was made for, how many times smaller than the file that was shipped, the latency over that file's from a paired
race with its 95 % interval, and the seconds that compression took, evaluation and bench included.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the networks and their inputs are the tests' own

from edgeml.compression import compress_file  # noqa: E402
from edgeml_bench import answers, race  # noqa: E402
from edgeml_compress.graph.running import batches  # noqa: E402
from edgeml_compress.judging.fidelity import fidelity  # noqa: E402
from edgeml_targets.models import read_model  # noqa: E402
from edgeml_targets.target import DEFAULT_TARGET, find_target  # noqa: E402
from tests.foreign import MODELS, draw, model_file  # noqa: E402

CALIBRATION_SEED, FRESH_SEED = 0, 1
RACE_S: Final = 4.0


@dataclass(frozen=True)
class Row:
    """A line of the table; see the module."""

    name: str
    chosen: str
    cosine: float
    smaller: float
    ratio: float
    ratio_low: float
    ratio_high: float
    seconds: float

    def __str__(self) -> str:
        """Return the line, in Markdown."""
        return (
            f"| {self.name} | {self.chosen} | {self.cosine:.4f} | {self.smaller:.2f} | {self.ratio:.3f} "
            f"({self.ratio_low:.3f} to {self.ratio_high:.3f}) | {self.seconds:.0f} |"
        )


def measure(name: str, samples: int, fresh: int, folder: Path) -> Row:
    """Compress one network by default and return what came out."""
    file, settings = model_file(name), find_target(DEFAULT_TARGET).settings()
    calibration = folder / "calibration.npz"
    np.savez(calibration, allow_pickle=False, **draw(name, samples, seed=CALIBRATION_SEED))
    done = compress_file(file, calibration, [DEFAULT_TARGET], folder / "out")
    taken = done.targets[0]
    for note in taken.notes:
        print(f"{name}: {note}", file=sys.stderr)
    artifact, inputs = Path(taken.artifact), draw(name, fresh, seed=FRESH_SEED)
    before, after = (answers(one, settings, inputs) for one in (file, artifact))
    feed = next(batches(read_model(file), inputs, most=1)).feed
    timing = race([file, artifact], settings, seconds=RACE_S, inputs=feed)[1]
    cosine = fidelity(before, after).cosine_min
    return Row(
        name=name,
        chosen=taken.chosen,
        cosine=float("nan") if cosine is None else cosine,
        smaller=file.stat().st_size / artifact.stat().st_size,
        ratio=timing.ratio,
        ratio_low=timing.ratio_low,
        ratio_high=timing.ratio_high,
        seconds=done.seconds,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME", help="files, all by default")
    parser.add_argument("--samples", type=int, default=144, help="calibration inputs, a third of them held back")
    parser.add_argument("--fresh", type=int, default=48, help="inputs that the result is checked on")
    given = parser.parse_args()
    print(
        "| file | chosen | cosine | times smaller | latency over float | seconds |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for name in given.names:
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, given.samples, given.fresh, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
