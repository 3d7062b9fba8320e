"""Calibrate: run the float model once over samples and count what every tensor holds. Memory does not grow with samples.

The result serves every target, scheme and bit width. Two calibrations of one model merge exactly, in any order: the
extremes are exact over all values, the histograms count a strided part of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.layers import name_of
from edgeml_compress.running import MOST_BATCH, Samples, batches, open_session
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.histogram import Histogram, histogram, merge
from edgeml_targets.contract.progress import SILENT, Progress

SCHEMA: Final = "edgeml.calibration/1"
COUNTED_VALUES: Final = 4_096  # of a tensor and sample: 100 samples give 400 thousand, 40 of them beyond 99.99 %
BINS: Final = 2_048
BATCH_BYTES: Final = 64 << 20  # activations that are held at once


class Seen(msgspec.Struct, frozen=True):
    """What a tensor held over all samples.

    Args:
        low, high: Its extremes, exact, in its own unit.
        counts: The histogram of a strided part of its values.
        broken: How many batches held a value that is not finite; they are counted nowhere else.
    """

    low: float = math.inf
    high: float = -math.inf
    counts: Histogram = Histogram()
    broken: int = 0

    @property
    def usable(self) -> bool:
        """Whether a range can be drawn from it: values were seen, all finite, not all 0."""
        return self.broken == 0 and self.low <= self.high and (self.low != 0 or self.high != 0)


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What every float tensor of a prepared graph held.

    Args:
        schema: Name and version of this structure.
        source: What it was made from: a hash of the model, so that a saved one is not taken for another's.
        samples: How many samples were run.
        tensors: What each tensor held, by name.
    """

    schema: str = SCHEMA
    source: str = ""
    samples: int = 0
    tensors: Mapping[str, Seen] = {}

    def save(self, path: Path) -> None:
        """Write it at `path`, whole.

        Raises:
            EdgemlError: It cannot be written.
        """
        write_atomic(path, msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, path: Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            EdgemlError: The file is missing or no calibration.
        """
        try:
            found = msgspec.msgpack.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise EdgemlError(f"no calibration: {error}", where=str(path), mend="calibrate again") from error
        if found.schema != SCHEMA:
            raise EdgemlError(
                f"its schema is {found.schema!r}, known is {SCHEMA!r}", where=str(path), mend="calibrate again"
            )
        return found


def merge_seen(left: Seen, right: Seen) -> Seen:
    """Return what both saw together."""
    return Seen(
        min(left.low, right.low),
        max(left.high, right.high),
        merge(left.counts, right.counts, bins=BINS),
        left.broken + right.broken,
    )


def merge_calibrations(left: Calibration, right: Calibration) -> Calibration:
    """Return the calibration over both sides' samples, as if one had seen them all.

    Raises:
        ValueError: They are of two models.
    """
    if left.source != right.source:
        raise ValueError("the calibrations are of two models")
    names = {**left.tensors, **right.tensors}
    return Calibration(
        source=left.source,
        samples=left.samples + right.samples,
        tensors={n: merge_seen(left.tensors.get(n, Seen()), right.tensors.get(n, Seen())) for n in names},
    )


def calibrate(model: ir.Model, samples: Samples, *, source: str = "", progress: Progress = SILENT) -> Calibration:
    """Run `model` over `samples` and count what each of its float tensors held.

    Args:
        model: A prepared graph: named values, inferred types.
        samples: An array an input; the first axis counts samples, 1 or more.
        source: Kept in the result, see `Calibration`.
        progress: Told how many samples are done; the caller begins and ends the step.

    Example:
        >>> calibrate(model, {"x": images}).tensors["relu_1"].high
        5.83
    """
    names = observed(model)
    session = open_session(model, names)
    count = min(len(a) for a in samples.values())
    tensors = {name: Seen() for name in names}
    done = 0
    for batch in batches(model, samples, _batch_size(session, model, samples)):
        for name, values in zip(names, session.run(names, dict(batch.feed)), strict=True):
            tensors[name] = merge_seen(tensors[name], see(values, batch.samples))
        done += batch.samples
        progress.advance(done, count, f"{done:,} of {count:,} samples")
    return Calibration(source=source, samples=count, tensors=tensors)


def observed(model: ir.Model) -> list[str]:
    """Return the names of the float32 tensors that a calibration looks at: graph inputs and what nodes make of them."""
    made = (value for node in model.graph for value in node.outputs)
    return [name_of(v) for v in (*model.graph.inputs, *made) if v.name and v.dtype == ir.DataType.FLOAT]


def see(values: npt.NDArray[Any], samples: int) -> Seen:
    """Return what a tensor of any shape, which belongs to `samples` samples, held."""
    if values.size == 0:
        return Seen()
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return Seen(broken=1)
    stride = math.ceil(values.size / (COUNTED_VALUES * samples))
    return Seen(low, high, histogram(values.ravel()[::stride], bins=BINS))


def _batch_size(session: Any, model: ir.Model, samples: Samples) -> int:
    """Return how many samples' activations fit into `BATCH_BYTES`, from a run of the first sample."""
    first = next(batches(model, {name: array[:1] for name, array in samples.items()}))
    size = sum(values.nbytes for values in session.run(None, dict(first.feed)))
    return int(np.clip(BATCH_BYTES // max(size, 1), 1, MOST_BATCH))
