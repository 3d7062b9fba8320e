"""What an artifact answers for given samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_bench.feeding import Arrays, shape_sample
from edgeml_bench.stacking import concatenate, stack
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.stored import Rows
from edgeml_targets.runtimes import Session, find_runtime

MOST_BATCH: Final = 64
MOST_BATCH_BYTES: Final = 4 << 20  # of inputs; what is computed on the way is tens of times that
TRIED: Final = 4  # samples on which stacking must not change the answers
SAME: Final = 1e-4  # of a sample's largest answer; kernels for another batch size sum in another order

Answers = dict[str, npt.NDArray[Any]]
Samples = Mapping[str, Rows]


def answers(artifact: Path, settings: Settings, samples: Samples) -> Answers:
    """Return every output for all samples, stacked on the first axis, in the samples' order.

    An output whose shape depends on the data is left out: nothing stacks it, and nothing compares it value by value.

    Args:
        artifact: A file of the target's runtime.
        settings: The target's.
        samples: An array an input; the first axis counts samples. A sample whose rank is the input's is fed as it is,
            one at a time; one whose rank is one less gets a batch axis in front, and several are stacked where the
            batch is dynamic and stacking does not change the answers (it does where scales are found at run time).

    Raises:
        EdgemlError: The artifact cannot be loaded or run, the samples do not fit its inputs, or no output has one shape
            for all samples.
    """
    session = find_runtime(settings.runtime).load(artifact, settings)
    try:
        given = _checked(session, samples, where=str(artifact))
        count = len(next(iter(given.values())))
        size = _batch(session, given, count, str(artifact))
        if size > 1:
            parts = (session.run(_rows(session, given, i, min(i + size, count))) for i in range(0, count, size))
            together = concatenate(list(parts))
            if len(together) == len(session.outputs):
                return together
        singles = [_single(session, given, i, str(artifact)) for i in range(count)]
        batched = _lack_batch_axis(session, given) and all(_is_batch_of_one(s) for s in singles)
        found = concatenate(singles) if batched else stack(singles)
        if not found:
            what = f"the shape of {' and '.join(t.name for t in session.outputs)} depends on the data, so answers cannot be compared"
            raise EdgemlError(
                what, where=str(artifact), mend="export it with an output of one shape as well, as scores"
            )
        return found
    finally:
        session.close()


def _checked(session: Session, samples: Samples, *, where: str) -> Samples:
    """Return the samples of the session's inputs, each with the same count, at least one."""
    missing = [t.name for t in session.inputs if t.name not in samples]
    if missing:
        raise EdgemlError(
            f"no samples for input {missing[0]}, there are {', '.join(samples) or 'none'}",
            where=where,
            mend="name the arrays as the model's inputs are named",
        )
    given = {t.name: samples[t.name] for t in session.inputs}
    counts = {len(array) if array.ndim else 0 for array in given.values()}
    if len(counts) != 1 or counts == {0}:
        raise EdgemlError(
            f"the inputs have {' and '.join(str(c) for c in sorted(counts))} samples",
            where=where,
            mend="give the same number of samples, at least 1, for every input",
        )
    return given


def _batch(session: Session, given: Samples, count: int, where: str) -> int:
    """Return how many samples may be stacked: 1 where the batch is fixed or stacking changes the answers."""
    tensors = (*session.inputs, *session.outputs)
    if count < 2 or not _lack_batch_axis(session, given) or any(t.shape[:1] != (-1,) for t in tensors):
        return 1
    tried = min(TRIED, count)
    singles = [_single(session, given, i, where) for i in range(tried)]
    try:
        stacked = session.run(_rows(session, given, 0, tried))
    except EdgemlError:
        return 1  # the first axis takes any size, but is no batch; one at a time it ran
    for name, together in stacked.items():
        if together.shape[:1] != (tried,) or not all(s[name].shape[:1] == (1,) for s in singles):
            return 1
        alone = concatenate([{name: s[name]} for s in singles]).get(name)
        if alone is None or alone.shape != together.shape or not _same(alone, together):
            return 1
    sample_bytes = max(sum(given[t.name][0].nbytes for t in session.inputs), 1)
    return int(np.clip(MOST_BATCH_BYTES // sample_bytes, 1, MOST_BATCH))


def _same(alone: npt.NDArray[Any], together: npt.NDArray[Any]) -> bool:
    """Tell whether each sample's answers differ by no more than `SAME` of its own largest; a quiet one must not drown.

    What is no number, as text, must be equal.
    """
    if alone.dtype.kind not in "biuf":
        return bool(np.array_equal(alone, together))
    first, second = (a.reshape(len(a), -1).astype(np.float64) for a in (alone, together))
    largest = np.abs(first).max(axis=1, keepdims=True, initial=0.0)
    return bool(np.all((np.abs(first - second) <= SAME * largest) | (np.isnan(first) & np.isnan(second))))


def _single(session: Session, given: Samples, index: int, where: str) -> Answers:
    return session.run({t.name: shape_sample(t, given[t.name][index], where=where) for t in session.inputs})


def _rows(session: Session, given: Samples, begin: int, end: int) -> Arrays:
    return {t.name: np.ascontiguousarray(given[t.name][begin:end], dtype=t.dtype) for t in session.inputs}


def _lack_batch_axis(session: Session, given: Samples) -> bool:
    """Tell whether every sample's rank is one less than its input's; `given` has the samples' axis in its place."""
    return all(given[t.name].ndim == len(t.shape) for t in session.inputs)


def _is_batch_of_one(outputs: Answers) -> bool:
    return all(o.shape[:1] == (1,) for o in outputs.values())
