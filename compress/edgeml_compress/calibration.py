"""Calibrate: run the float model once over samples and count what every tensor holds. Memory does not grow with samples.

The result serves every target, scheme, bit width and observer. Samples are run one at a time, so that each leaves the same
whatever stands beside it; two calibrations of one model then merge exactly, however the samples were split and in any order:
extremes are exact over all values, their means over samples are exact sums, histograms count a strided part of the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from fractions import Fraction
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant, name_of, sole_user
from edgeml_compress.graph.running import MOST_BATCH, Samples, batches, cores, in_turn
from edgeml_compress.observing import Floats, Glimpse, Watch, glimpse, single_symbols
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.histogram import LOWEST_EXPONENT, Counter, Histogram, merge
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.models import load_weights

SCHEMA: Final = "edgeml.calibration/2"  # the next number when a pass that eases does something else, too: see `Eased`
BINS: Final = 2_048
HELD_BYTES: Final = 1 << 16  # of a tensor, until they are counted: a call of numpy costs as much as a thousand values
ARRAY_BYTES: Final = 128  # that an array takes besides its values: many parts of one value each would hold megabytes
MOST_WORKERS: Final = 4  # samples that are run at once, each with activations of its own
TOLD_PARTS: Final = 200  # how often progress is told of


class Seen(msgspec.Struct, frozen=True):
    """What a tensor held over all samples.

    Args:
        low, high: Its extremes, exact, in its own unit; what a Relu makes counts from 0.
        counts: The histogram of a strided part of its values.
        broken: How many samples held a value that is not finite; they are counted nowhere else.
        samples: How many samples held values, all of them finite.
        low_sum, high_sum: The sums of those samples' own extremes, exact: integers of the unit 2**-149, the smallest float32
            above 0, little-endian and signed. A float64 sum would depend on the order.
    """

    low: float = math.inf
    high: float = -math.inf
    counts: Histogram = Histogram()
    broken: int = 0
    samples: int = 0
    low_sum: bytes = b""
    high_sum: bytes = b""

    @property
    def usable(self) -> bool:
        """Whether a range can be drawn from it: values were seen, all finite, not all 0."""
        return self.broken == 0 and self.low <= self.high and (self.low != 0 or self.high != 0)

    @property
    def mean_low(self) -> float:
        """The mean over samples of each sample's lowest value; NaN when there was none."""
        return _mean(self.low_sum, self.samples)

    @property
    def mean_high(self) -> float:
        """The mean over samples of each sample's highest value; NaN when there was none."""
        return _mean(self.high_sum, self.samples)


class Eased(msgspec.Struct, frozen=True):
    """What a pass that makes a network easier to round asked of the samples: saved, a later run need not ask again.

    Args:
        step: The pass and its parameters.
        network: A hash of the network before it.
        largest: The largest magnitude of each channel of some of that network's tensors, by name.
        tensors: What each tensor of the network after it held, by name.
    """

    step: str
    network: str
    largest: Mapping[str, tuple[float, ...]]
    tensors: Mapping[str, Seen]


class Means(msgspec.Struct, frozen=True):
    """What the float network's layers give on average over a few of the samples: bias corrections rest on it.

    Args:
        samples: Over how many, evenly spread.
        channels: The mean of each channel, by the name of what a layer gives.
    """

    samples: int
    channels: Mapping[str, tuple[float, ...]]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What every float tensor of a prepared graph held.

    Args:
        schema: Name and version of this structure.
        source: What it was made from: a hash of the model, so that a saved one is not taken for another's.
        samples: How many samples were run.
        tensors: What each tensor held, by name.
        rounding: The recipe, in TOML, that rounded the network best of all that were tried; empty before any was. The next target
            begins with it.
        eased: What passes asked that stand before the rounding, here or in an earlier run.
        means: What its layers give on average, once a pass has asked.
        at_once: How many samples the network may be fed at once, see `graph.running.most_at_once`; 0: it was not asked.
    """

    schema: str = SCHEMA
    source: str = ""
    samples: int = 0
    tensors: Mapping[str, Seen] = {}
    rounding: str = ""
    eased: tuple[Eased, ...] = ()
    means: Means | None = None
    at_once: Annotated[int, msgspec.Meta(ge=0, le=MOST_BATCH)] = 0

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
            EdgemlError: The file is missing, no calibration, or of another version.
        """
        try:
            content = path.read_bytes()
            schema = msgspec.msgpack.decode(content, type=_Head).schema
            if schema == SCHEMA:
                return msgspec.msgpack.decode(content, type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise EdgemlError(f"no calibration: {error}", where=str(path), mend="calibrate again") from error
        raise EdgemlError(f"its schema is {schema!r}, known is {SCHEMA!r}", where=str(path), mend="calibrate again")


class _Head(msgspec.Struct):
    schema: str


def merge_seen(left: Seen, right: Seen) -> Seen:
    """Return what both saw together."""
    return Seen(
        min(left.low, right.low),
        max(left.high, right.high),
        merge(left.counts, right.counts, bins=BINS),
        left.broken + right.broken,
        left.samples + right.samples,
        _written(_read(left.low_sum) + _read(right.low_sum)),
        _written(_read(left.high_sum) + _read(right.high_sum)),
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


def calibrate(
    model: ir.Model, samples: Samples, *, source: str = "", threads: int = 0, progress: Progress = SILENT
) -> Calibration:
    """Run `model` over `samples` and count what each of its float tensors held.

    Args:
        model: A prepared graph: named values, inferred types. Of one without a float32 tensor nothing is run.
        samples: An array an input; the first axis counts samples, 1 or more.
        source: Kept in the result, see `Calibration`.
        threads: How many work at once; 0 for one a core.
        progress: Told how many samples are done; the caller begins and ends the step.

    Example:
        >>> calibrate(model, {"x": images}).tensors["relu_1"].high
        5.83
    """
    clipped = _clipped_next(model)
    names = [name for name in observed(model) if name not in clipped]
    count = min(len(a) for a in samples.values())
    if not names:
        return Calibration(source=source, samples=count)
    threads = threads or cores()
    workers = min(threads, MOST_WORKERS)
    watch = Watch(model, names, single=single_symbols(model, samples), threads=threads // workers)
    tallies = {name: _Tally() for name in names}
    every = max(count // TOLD_PARTS, 1)
    feeds = (batch.feed for batch in batches(model, samples, most=1))
    for done, glimpses in enumerate(in_turn(watch.look, feeds, workers), 1):
        for tally, seen in zip(tallies.values(), glimpses, strict=True):
            tally.add(seen)
        if done % every == 0 or done == count:
            progress.advance(done, count, f"{done:,} of {count:,} samples")
    tensors = {name: tally.seen() for name, tally in tallies.items()}
    for name, kept in reversed(clipped.items()):  # what a clip leaves may be clipped again
        tensors[name] = tensors[kept]
    return Calibration(source=source, samples=count, tensors={name: tensors[name] for name in observed(model)})


def calibrate_parts(model: ir.Model, parts: Sequence[Samples], executor: Executor, *, source: str = "") -> Calibration:
    """Calibrate on each part wherever `executor` runs it, and merge: what one run over all the samples gives, exactly.

    Args:
        model: A prepared graph.
        parts: Samples as `calibrate` takes them, one or more parts, of any sizes.
        executor: Of threads, processes, or a cluster: `dask.distributed.Client.get_executor()`.
        source: As for `calibrate`.

    Whoever holds samples that must not leave can run `calibrate` there and send `Calibration.save`'s file instead.

    Example:
        >>> halves = [{"x": images[:500]}, {"x": images[500:]}]
        >>> with ProcessPoolExecutor(2) as pool:
        ...     calibrate_parts(model, halves, pool) == calibrate(model, {"x": images})
        True
    """
    whole = model.clone()
    load_weights(whole)  # the files beside a model are not where a worker looks
    work = partial(_calibrate_part, ir.to_proto(whole).SerializeToString(), source)
    return reduce(merge_calibrations, executor.map(work, parts))


def _calibrate_part(content: bytes, source: str, samples: Samples) -> Calibration:
    import onnx

    return calibrate(ir.from_proto(onnx.load_from_string(content)), samples, source=source, threads=1)


def observed(model: ir.Model) -> list[str]:
    """Return the names of the float32 tensors that a calibration knows: graph inputs and what nodes of the main graph make."""
    made = (value for node in model.graph for value in node.outputs)
    return [
        name_of(v)
        for v in (*model.graph.inputs, *made)
        if v.name and v.dtype == ir.DataType.FLOAT and isinstance(v.type, ir.TensorType)
    ]


def see(values: Floats) -> Seen:
    """Return what one sample's tensor, of any shape, held."""
    tally = _Tally()
    tally.add(glimpse(values))
    return tally.seen()


class _Tally:
    """What a tensor has held so far. Parts are counted several at once."""

    def __init__(self) -> None:
        self._low, self._high = math.inf, -math.inf
        self._broken = self._samples = self._low_sum = self._high_sum = 0
        self._counter, self._held, self._held_bytes = Counter(bins=BINS), list[Floats](), 0

    def add(self, seen: Glimpse | None) -> None:
        """Count one sample; `None` is one that held a value that is not finite."""
        if seen is None:
            self._broken += 1
            return
        if seen.low > seen.high:  # empty
            return
        self._low, self._high = min(self._low, seen.low), max(self._high, seen.high)
        self._samples += 1
        self._low_sum += _units(seen.low)
        self._high_sum += _units(seen.high)
        self._held.append(seen.part)
        self._held_bytes += seen.part.nbytes + ARRAY_BYTES
        if self._held_bytes >= HELD_BYTES:
            self._count()

    def seen(self) -> Seen:
        """Return it."""
        self._count()
        sums = _written(self._low_sum), _written(self._high_sum)
        return Seen(self._low, self._high, self._counter.histogram(), self._broken, self._samples, *sums)

    def _count(self) -> None:
        if self._held:
            self._counter.add(np.concatenate(self._held))
        self._held, self._held_bytes = [], 0


def _clipped_next(model: ir.Model) -> dict[str, str]:
    """Return the tensors whose only reader clips them, each with the clipped tensor's name.

    No more of their range counts than what the clip leaves. Looking at them would keep ONNX Runtime from fusing the clip into
    the operator before, which costs more than all the rest.
    """
    found = {}
    for node in model.graph:
        value = node.outputs[0]
        user = sole_user(value)
        if user is not None and value.dtype == ir.DataType.FLOAT and len(node.outputs) == 1 and _clips(user):
            found[name_of(value)] = name_of(user.outputs[0])
    return found


def _clips(node: ir.Node) -> bool:
    bounds = [v for v in node.inputs[1:3] if v is not None]
    return node.domain == "" and (node.op_type == "Relu" or (node.op_type == "Clip" and all(map(is_constant, bounds))))


def _units(value: float) -> int:
    return int(math.ldexp(value, -LOWEST_EXPONENT))


def _written(units: int) -> bytes:
    return units.to_bytes((units.bit_length() + 8) // 8, "little", signed=True) if units else b""


def _read(units: bytes) -> int:
    return int.from_bytes(units, "little", signed=True)


def _mean(units: bytes, count: int) -> float:
    return float(Fraction(_read(units), count << -LOWEST_EXPONENT)) if count else math.nan
