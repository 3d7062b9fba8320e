"""Compress the networks that people ship (`tests/foreign`) by default, and check them on fresh inputs.

Usage: python -m peers.foreign [NAME ...] [--samples 144] [--fresh 48]

A row a file: the candidate that was chosen, the worst cosine of any output on fresh inputs of the kind that the network was
made for, how many times smaller than the file that was shipped, the latency over that file's from a paired race with its 95 %
interval, and the seconds that compression took, evaluation and bench included. Rows are kept for RESULTS.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the networks and their inputs are the tests' own

from edgeml.compression import compress_file  # noqa: E402
from edgeml_bench import answers, race  # noqa: E402
from edgeml_compress.graph.running import batches  # noqa: E402
from edgeml_compress.judging.fidelity import fidelity  # noqa: E402
from edgeml_targets.contract.files import write_atomic  # noqa: E402
from edgeml_targets.models import read_model  # noqa: E402
from edgeml_targets.target import DEFAULT_TARGET, find_target  # noqa: E402
from tests.foreign import MODELS, draw, model_file  # noqa: E402

CALIBRATION_SEED, FRESH_SEED = 0, 1
RACE_S: Final = 4.0
KEPT: Final = "foreign.json"
HEAD: Final = "| file | chosen | cosine | times smaller | latency over float | s |\n|---|---|---|---|---|---|"
NOTES: Final = """Shipped by rapidocr-onnxruntime, silero-vad and magika, compressed by default on inputs made for each, without labels. The cosine is
the worst of any output and any fresh input; latency is over the shipped file's, both on one thread. Of the peers, ONNX
Runtime's static quantization stops on most of these after its own pre-processing, and has no effect without it."""


class Row(msgspec.Struct, frozen=True):
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


def section(folder: Path) -> str:
    """Return the rows that are kept in `folder` as a chapter for RESULTS.md; empty when there are none."""
    rows = _kept(folder / KEPT)
    ordered = [rows[name] for name in MODELS if name in rows]
    return "\n".join(["## Networks that others ship", "", HEAD, *map(str, ordered), "", NOTES]) if ordered else ""


def _kept(file: Path) -> dict[str, Row]:
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Row]) if file.is_file() else {}


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
    """Measure, keep each row as soon as it is known, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(MODELS), metavar="NAME", help="files, all by default")
    parser.add_argument("--samples", type=int, default=144, help="calibration inputs, a third of them held back")
    parser.add_argument("--fresh", type=int, default=48, help="inputs that the result is checked on")
    parser.add_argument("--folder", type=Path, default=ROOT / ".peers")
    given = parser.parse_args()
    results = given.folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    _measure(given.names, given.samples, given.fresh, results / KEPT)
    print(section(results))


def _measure(names: Sequence[str], samples: int, fresh: int, kept: Path) -> None:
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, samples, fresh, Path(folder))
        print(row, file=sys.stderr, flush=True)
        write_atomic(kept, msgspec.json.encode({**_kept(kept), name: row}))


if __name__ == "__main__":
    main()
