"""Run a graph of ours in ONNX Runtime, with any of its tensors as outputs, in batches of bounded size."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_bench.stacking import stack
from edgeml_compress.graph.layers import name_of
from edgeml_targets.contract.stored import Rows
from edgeml_targets.models import load_weights
from edgeml_targets.runtimes.onnxruntime import errors

S = TypeVar("S")
T = TypeVar("T")
Samples = Mapping[str, Rows]
Feed = Mapping[str, npt.NDArray[Any]]
MOST_MESSAGE_BYTES: Final = 16 << 20
"""Of weights; beyond this they go through a file, which ONNX Runtime maps into memory instead of holding copies of a message.
Calibrating a network of 100 MB took 602 MB at its peak otherwise, and 415 so; the float model alone takes 324."""
MOST_BATCH: Final = 32
BLOCK: Final = 8  # samples, at most, that one thread runs in a row: a small network runs faster than a thread is asked
TRIED: Final = 4  # samples that are fed both together and alone
LOOKED_AT: Final = 16  # samples, for such as differ
SAME: Final = 1e-4  # of the largest answer


def open_session(model: ir.Model, outputs: Sequence[str] | None = None, *, threads: int = 1) -> Any:
    """Return an `onnxruntime.InferenceSession` of a graph, which is not changed.

    Args:
        model: The graph.
        outputs: Tensors that it returns instead of its own; one without an inferred type cannot be asked for.
        threads: Of one run, 0 for one a core. One is best nearly always: to begin and end a pool of threads takes longer than
            a small network runs, and samples of a large one can be run side by side, see `in_turn`.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    exposed = model.clone() if outputs is None else _exposing(model, outputs)
    size = sum(v.const_value.nbytes for v in exposed.graph.initializers.values() if v.const_value is not None)
    if size < MOST_MESSAGE_BYTES:
        load_weights(exposed)  # a message cannot point to a file beside it
        content = ir.to_proto(exposed).SerializeToString()
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        ir.save(exposed, path, external_data="model.data")
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _exposing(model: ir.Model, outputs: Sequence[str]) -> ir.Model:
    exposed = model.clone()
    by_name = {v.name: v for v in (*exposed.graph.inputs, *(o for n in exposed.graph for o in n.outputs))}
    exposed.graph.outputs.clear()
    exposed.graph.outputs.extend(by_name[name] for name in outputs)
    return exposed


@dataclass(frozen=True)
class Batch:
    """What a model is fed at once, and how many samples that is."""

    samples: int
    feed: Feed


def most_at_once(model: ir.Model, samples: Samples) -> int:
    """Return how many samples `model` may be fed at once: 1 where a few that are stacked are refused or answered otherwise.

    A batch that is declared free need not be: exports hold reshapes to one sample, which stop or merge several.
    """
    few = _unlike(samples)
    together = list(batches(model, few, most=TRIED))
    if len(together) != 1 or together[0].samples == 1:  # a fixed batch, or nothing to tell it by
        return 1
    session = open_session(model)
    try:
        stacked = session.run(None, dict(together[0].feed))
    except errors():  # one at a time they run
        return 1
    singles = [session.run(None, dict(batch.feed)) for batch in batches(model, few, most=1)]
    for index, whole in enumerate(stacked):
        parts = [np.asarray(single[index]) for single in singles]
        if any(part.ndim == 0 or part.shape[1:] != np.shape(whole)[1:] for part in parts):
            return 1
        alone = np.concatenate(parts)
        if not _alike(np.asarray(whole), alone):
            return 1
    return MOST_BATCH


def _unlike(samples: Samples) -> Samples:
    """Return a few samples, those behind the first unlike it: of equal ones, together answer as alone."""
    some = spread(samples, LOOKED_AT)
    count = min(len(array) for array in some.values())
    unlike = [i for i in range(1, count) if any(not np.array_equal(a[0], a[i]) for a in some.values())]
    return {name: np.asarray(array[np.array([0, *unlike[: TRIED - 1]])]) for name, array in some.items()}


def batches(model: ir.Model, samples: Samples, most: int = MOST_BATCH) -> Iterator[Batch]:
    """Yield what a model is fed, `most` samples at a time where its batch is dynamic, else one.

    Args:
        model: Its graph inputs decide: a sample whose rank is one less than the input's gets a batch axis in front.
        samples: An array an input; the first axis counts samples.
        most: Samples a batch.
    """
    inputs = {name_of(value): value for value in model.graph.inputs if value.name in samples}
    count = min((len(a) for a in samples.values()), default=0)
    step = most if all(stackable(value, samples[name]) for name, value in inputs.items()) else 1
    for first in range(0, count, step):
        rows = {name: samples[name][first : first + step] for name in inputs}
        yield Batch(min(step, count - first), {name: _fed(value, rows[name]) for name, value in inputs.items()})


def spread(samples: Samples, most: int) -> Samples:
    """Return at most `most` samples, evenly spread over all: they may be sorted by class."""
    count = min(len(array) for array in samples.values())
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
    return {name: array[chosen] for name, array in samples.items()}


def run_each(session: Any, model: ir.Model, samples: Samples) -> dict[str, npt.NDArray[Any]]:
    """Return every output of a model's session for all samples, one sample a run, as `edgeml_bench.stacking.stack` does."""
    names = [output.name for output in session.get_outputs()]
    feeds = (batch.feed for batch in batches(model, samples, most=1))
    count = min((len(array) for array in samples.values()), default=0)
    length = min(max(-(-count // cores()), 1), BLOCK)
    blocks = iter(lambda: list(islice(feeds, length)), [])

    def run(block: list[Feed]) -> list[dict[str, npt.NDArray[Any]]]:
        return [dict(zip(names, session.run(names, dict(feed)), strict=True)) for feed in block]

    return stack([answers for block in in_turn(run, blocks, cores()) for answers in block])


def in_turn(run: Callable[[S], T], feeds: Iterable[S], workers: int) -> Iterator[T]:
    """Yield what `run` makes of each feed, in order, while up to `workers` are run at once.

    Samples side by side on a thread each take less time than one after the other on all threads: nothing then waits for the
    parts of an inference that one thread does alone. A few results wait at most; what runs is finished when the caller stops.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for feed in feeds:
                waiting.append(pool.submit(run, feed))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _alike(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Tell whether two answers are the same but for the order of sums; what is no number must be equal."""
    if first.shape != second.shape or first.dtype.kind not in "f":
        return np.array_equal(first, second)
    close = SAME * float(np.abs(second[np.isfinite(second)]).max(initial=0.0))
    return np.allclose(first, second, rtol=0, atol=close, equal_nan=True)


def stackable(value: ir.Value, array: Rows) -> bool:
    """Tell whether the first axis of an input is a free batch, along which samples can be stacked."""
    shape = value.shape
    return shape is not None and len(shape) == array.ndim and len(shape) > 0 and not isinstance(shape[0], int)


def _fed(value: ir.Value, rows: Rows) -> npt.NDArray[Any]:
    rank = rows.ndim if value.shape is None else len(value.shape)
    return np.asarray(rows if rank == rows.ndim else rows[0], order="C")  # ascontiguousarray gives a scalar an axis
