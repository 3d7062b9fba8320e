"""Share bytes out among weights: which of its forms each takes, so that the answers lose least for what is stored.

Pure: errors of weights that are rounded independently add in squares, so each weight's choice stands alone, and the best
choices for growing numbers of bytes make one path of single steps, the one that gains most a byte first.

Source: Shoham and Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers, IEEE Trans. ASSP 36(9).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

F = TypeVar("F")


@dataclass(frozen=True)
class Option(Generic[F]):
    """One form of a weight: what it takes in bytes, and the relative error that it alone costs the answers."""

    form: F
    size_bytes: float
    error: float


@dataclass(frozen=True)
class _Step(Generic[F]):
    name: str
    form: F
    more_bytes: float
    gain: float  # of squared error, a byte


class Allotments(Generic[F]):
    """Allotments from the smallest to the most exact, each one step from the one before. Each is built when it is asked for.

    Attributes:
        sizes_bytes: What each takes, ascending.
    """

    def __init__(self, smallest: Mapping[str, Option[F]], steps: Sequence[_Step[F]]) -> None:
        self._smallest, self._steps = {name: option.form for name, option in smallest.items()}, steps
        least = sum(option.size_bytes for option in smallest.values())
        self.sizes_bytes = list(itertools.accumulate((step.more_bytes for step in steps), initial=least))

    def __len__(self) -> int:
        """How many there are, one or more."""
        return len(self._steps) + 1

    def __getitem__(self, index: int) -> dict[str, F]:
        """Return the form of each weight by name after so many steps.

        Raises:
            IndexError: There are not so many.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        return {**self._smallest, **{step.name: step.form for step in self._steps[:index]}}

    def __iter__(self) -> Iterator[dict[str, F]]:
        """Yield them one after the other."""
        return (self[index] for index in range(len(self)))


def path(options: Mapping[str, Sequence[Option[F]]]) -> Allotments[F]:
    """Return the allotments from the smallest to the most exact.

    Args:
        options: The forms of each weight by name, one or more.

    Example:
        >>> list(path({"w": [Option("int8", 100, 0.1), Option("half", 200, 0.0)]}))
        [{'w': 'int8'}, {'w': 'half'}]
    """
    hulls = {name: _hull(forms) for name, forms in options.items()}
    steps = [step for name, hull in hulls.items() for step in _steps(name, hull)]
    smallest = {name: hull[0] for name, hull in hulls.items()}
    return Allotments(smallest, sorted(steps, key=lambda s: (-s.gain, s.name)))


def _hull(options: Sequence[Option[F]]) -> list[Option[F]]:
    """Return the options on the lower convex hull of squared error over bytes, from the smallest on."""
    ordered = sorted(options, key=lambda o: (o.size_bytes, o.error))
    hull = ordered[:1]
    for option in ordered[1:]:
        if option.error >= hull[-1].error:  # also what is as large, since the lesser error comes first
            continue
        while len(hull) > 1 and _gain(hull[-2], hull[-1]) <= _gain(hull[-1], option):
            hull.pop()
        hull.append(option)
    return hull


def _steps(name: str, hull: Sequence[Option[F]]) -> list[_Step[F]]:
    return [
        _Step(name, after.form, after.size_bytes - before.size_bytes, _gain(before, after))
        for before, after in itertools.pairwise(hull)
    ]


def _gain(before: Option[F], after: Option[F]) -> float:
    return (before.error**2 - after.error**2) / (after.size_bytes - before.size_bytes)
