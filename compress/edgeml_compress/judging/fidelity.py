"""How close a candidate's answers are to the float model's, without labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Answers = Mapping[str, npt.NDArray[Any]]
Floats = npt.NDArray[np.float64]

SMALL_OUTPUT: Final = (
    8  # values a sample: fewer are judged stacked over samples, since a [1, 1] output's cosine is always 1
)
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


def fidelity(reference: Answers, answers: Answers) -> Fidelity:
    """Compare answers with the float model's, output by output; the first axis of each counts samples.

    Outputs that are no numbers are left out. An answer that is not finite where the float model's is has cosine 0.
    """
    worst = _equal_shares(reference, answers)
    left_out = not_finite = 0
    for expected, got in _pairs(reference, answers):
        finite = np.isfinite(expected).all(axis=1)
        not_finite += int((~finite).sum())
        expected, got = expected[finite], got[finite]
        if len(expected) == 0:
            continue
        size = np.sqrt((expected**2).sum(axis=1))
        if expected.shape[1] < SMALL_OUTPUT:
            expected, got, size = expected.reshape(1, -1), got.reshape(1, -1), np.sqrt((expected**2).sum())[None]
        judged = size > NEXT_TO_NOTHING * size.max()
        left_out += int((~judged).sum())
        if judged.any():
            worst.append(float(_cosines(expected[judged], got[judged]).min()))
    return Fidelity(min(worst) if worst else None, left_out, not_finite, shaped_apart(reference, answers))


def relative_error(reference: Answers, answers: Answers) -> float:
    """Return the root mean square of what answers are off, over the float model's own, of the worst output; 0 is equal.

    Of integers and truth values it is the share that differs.
    """
    pairs = _pairs(reference, answers)
    errors = [float(np.linalg.norm(got - e)) / max(float(np.linalg.norm(e)), 1e-30) for e, got in pairs]
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


def _pairs(reference: Answers, answers: Answers) -> Iterator[tuple[Floats, Floats]]:
    apart = shaped_apart(reference, answers)
    for name, expected in reference.items():
        if expected.dtype.kind == "f" and expected.size and name not in apart:
            rows = len(expected)
            with np.errstate(invalid="ignore"):
                yield np.float64(expected).reshape(rows, -1), np.float64(answers[name]).reshape(rows, -1)


def _cosines(expected: Floats, got: Floats) -> Floats:
    """Return the cosine of each row; 0 where an answer is all 0 or not finite."""
    expected, got = _unit(expected), _unit(got)
    return np.asarray(np.clip((expected * got).sum(axis=1), -1, 1))


def _unit(rows: Floats) -> Floats:
    largest = np.abs(rows).max(axis=1, keepdims=True)  # divided by first, so that no square overflows
    sound = np.isfinite(largest) & (largest > 0)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=sound)
    length = np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(scaled, length, out=scaled, where=length > 0))
