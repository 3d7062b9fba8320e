"""How close a candidate's answers are to the float model's, without labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Answers = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating[Any]]

SMALL_OUTPUT: Final = (
    8  # values a sample: fewer are judged stacked over samples, since a [1, 1] output's cosine is always 1
)
FEW_VALUES: Final = 1 << 16  # in double precision half a megabyte
NEXT_TO_NOTHING: Final = 1e-5  # of the largest norm of that output: below it, a cosine judges noise


@dataclass(frozen=True)
class Fidelity:
    """How close answers are.

    Args:
        cosine_min: The worst cosine over outputs and samples, -1 to 1; `None` when no answer could be judged. An output of
            integers or truth values counts with the share of its values that are equal: of class ids a cosine says nothing.
        left_out: Pairs of output and sample whose float answer is next to nothing.
        not_finite: Pairs of output and sample whose float answer is not finite; left out, too.
        apart: Outputs that have other shapes here than the float model's, see `shaped_apart`; left out, too.
    """

    cosine_min: float | None
    left_out: int
    not_finite: int = 0
    apart: tuple[str, ...] = ()


def fidelity(reference: Answers, answers: Answers, sized: Collection[str] | None = None) -> Fidelity:
    """Compare answers with the float model's, output by output; the first axis of each counts samples.

    Outputs that are no numbers are left out. An answer that is not finite where the float model's is has cosine 0, and so has
    one of another size.

    Args:
        reference: What the float model answers, by output.
        answers: What is compared with it.
        sized: Outputs whose size the data decides: those may have another one, and are left out then. `None`: all may.
    """
    apart = shaped_apart(reference, answers)
    left_apart = apart if sized is None else tuple(name for name in apart if name in sized)
    worst = _equal_shares(reference, answers) + [0.0] * (len(apart) - len(left_apart))
    left_out = not_finite = 0
    for expected, got in _pairs(reference, answers):
        finite = np.isfinite(expected).all(axis=1)
        not_finite += int((~finite).sum())
        if not finite.all():
            expected, got = expected[finite], got[finite]
        if len(expected) == 0:
            continue
        if expected.shape[1] < SMALL_OUTPUT:
            expected, got = expected.reshape(1, -1), got.reshape(1, -1)
        size, cosine = _compared(expected, got)
        judged = size > NEXT_TO_NOTHING * size.max()
        left_out += int((~judged).sum())
        if judged.any():
            worst.append(float(cosine[judged].min()))
    return Fidelity(min(worst) if worst else None, left_out, not_finite, left_apart)


def relative_error(reference: Answers, answers: Answers) -> float:
    """Return the root mean square of what answers are off, over the float model's own, of the worst output; 0 is equal.

    Of integers and truth values it is the share that differs.
    """
    errors = []
    for expected, got in _pairs(reference, answers):
        off = size = 0.0
        for wanted, found in _few(expected, got):
            wanted = np.float64(wanted).ravel()
            off, size = off + _squares(found.ravel() - wanted), size + _squares(wanted)
        errors.append(float(np.sqrt(off)) / max(float(np.sqrt(size)), 1e-30))
    return max([*errors, *(1 - share for share in _equal_shares(reference, answers))], default=0.0)


def shaped_apart(reference: Answers, answers: Answers) -> tuple[str, ...]:
    """Return the float model's outputs that cannot be compared value by value: their shape depends on the data.

    Either `answers` lack them, since no array held them, or it has another number of values.
    """
    return tuple(name for name, e in reference.items() if name not in answers or answers[name].size != e.size)


def _equal_shares(reference: Answers, answers: Answers) -> list[float]:
    """Return for each output of integers or truth values the share of values that are equal, 0 to 1."""
    apart = shaped_apart(reference, answers)
    whole = {n: e for n, e in reference.items() if e.dtype.kind in "iub" and e.size and n not in apart}
    return [float(np.mean(expected == np.reshape(answers[name], expected.shape))) for name, expected in whole.items()]


def _pairs(reference: Answers, answers: Answers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield what is compared by value, output by output, each (samples, values)."""
    apart = shaped_apart(reference, answers)
    for name, expected in reference.items():
        if expected.dtype.kind == "f" and expected.size and name not in apart:
            yield expected.reshape(len(expected), -1), answers[name].reshape(len(expected), -1)


def _few(expected: Numbers, got: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield a few samples at a time, so many that the processor's cache holds them while they are gone through."""
    step = max(FEW_VALUES // expected.shape[1], 1)
    for first in range(0, len(expected), step):
        yield expected[first : first + step], got[first : first + step]


def _compared(expected: Numbers, got: Numbers) -> tuple[Floats, Floats]:
    """Return the norm of each row that was expected, and its cosine; 0 where an answer is all 0 or not finite."""
    sizes, cosines = [], []
    for wanted, found in _few(expected, got):
        (first, largest), (second, _) = _scaled(wanted), _scaled(found)
        length = np.sqrt(np.einsum("ij,ij->i", first, first))
        both = length * np.sqrt(np.einsum("ij,ij->i", second, second))
        inner = np.einsum("ij,ij->i", first, second)
        sizes.append(largest * length)
        cosines.append(np.divide(inner, both, out=np.zeros_like(both), where=both > 0))
    return np.concatenate(sizes), np.clip(np.concatenate(cosines), -1, 1)


def _squares(values: Floats) -> float:
    return float(np.einsum("i,i->", values, values))  # a product of BLAS would wake its threads for so little


def _scaled(rows: Numbers) -> tuple[Floats, Floats]:
    """Return rows over their largest magnitude, so that no square overflows, and these; 0 where a row is not finite."""
    scaled = np.array(rows, np.float64)
    largest = np.maximum(scaled.max(axis=1), -scaled.min(axis=1))
    sound = np.isfinite(largest) & (largest > 0)
    scaled[~sound] = 0
    np.divide(scaled, np.where(sound, largest, 1.0)[:, None], out=scaled)
    return scaled, np.where(sound, largest, 0.0)
