"""Put the answers of many runs together. An output whose shape depends on the data is left out: there is no array of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Answers = Mapping[str, npt.NDArray[Any]]


def stack(runs: Sequence[Answers]) -> dict[str, npt.NDArray[Any]]:
    """Return each output of runs of one sample, stacked on a new first axis; one of several shapes is left out.

    Example:
        >>> scores, found = np.zeros(3), np.zeros(2)
        >>> sorted(stack([{"scores": scores, "found": found}, {"scores": scores, "found": found[:1]}]))
        ['scores']
    """
    return {name: np.stack([run[name] for run in runs]) for name in _of_one_shape(runs, 0)}


def concatenate(runs: Sequence[Answers]) -> dict[str, npt.NDArray[Any]]:
    """Return each output of runs of several samples, joined on the first axis; one whose other sizes differ is left out."""
    return {name: np.concatenate([run[name] for run in runs]) for name in _of_one_shape(runs, 1)}


def _of_one_shape(runs: Sequence[Answers], first_axis: int) -> list[str]:
    """Return the outputs whose sizes, from that axis on, are the same in all runs."""
    shapes = [{name: array.shape[first_axis:] for name, array in run.items()} for run in runs]
    return [name for name, shape in shapes[0].items() if all(s.get(name) == shape for s in shapes)]
