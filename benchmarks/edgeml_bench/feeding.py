"""From arrays to what a model takes: random inputs to time it with, and a user's samples, with a batch axis where they lack it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.tensors import Tensor

Arrays = Mapping[str, npt.NDArray[Any]]
SMALL_INTEGERS: Final = 2  # random integers stay below: they may be indices, and 0 and 1 are always there


def random_inputs(tensors: Sequence[Tensor], seed: int, *, where: str) -> dict[str, npt.NDArray[Any]]:
    """Return an input of each tensor's type and shape, a batch of 1: standard normal, or integers 0 and 1.

    Raises:
        EdgemlError: An axis other than the first takes any size, so that none can be chosen here.
    """
    draw = np.random.default_rng(seed)
    found: dict[str, npt.NDArray[Any]] = {}
    for tensor in tensors:
        if any(size < 0 for size in tensor.shape[1:]):
            raise EdgemlError(
                f"input {tensor.name} takes any size along some axes ({_sizes(tensor.shape)})",
                where=where,
                mend="give one input of the size that matters: --input FILE.npz",
            )
        shape, dtype = [1 if size < 0 else size for size in tensor.shape], np.dtype(tensor.dtype)
        if dtype.kind == "f":
            found[tensor.name] = draw.standard_normal(shape).astype(dtype)
        else:
            found[tensor.name] = draw.integers(0, SMALL_INTEGERS, shape).astype(dtype)
    return found


def shaped_inputs(tensors: Sequence[Tensor], arrays: Arrays, *, where: str) -> dict[str, npt.NDArray[Any]]:
    """Return one input a tensor from one sample of each: its type changed, a batch axis in front where it lacks one.

    A model's only input may come under the empty name.

    Raises:
        EdgemlError: An input is missing, or its sample does not fit.
    """
    if len(tensors) == 1 and set(arrays) == {""}:
        arrays = {tensors[0].name: arrays[""]}
    missing = [t.name for t in tensors if t.name not in arrays]
    if missing:
        raise EdgemlError(
            f"no sample for input {missing[0]}, there are {', '.join(a or 'an unnamed array' for a in arrays)}",
            where=where,
            mend="name the arrays as the model's inputs are named",
        )
    return {t.name: shape_sample(t, np.asarray(arrays[t.name]), where=where) for t in tensors}


def shape_sample(tensor: Tensor, sample: npt.NDArray[Any], *, where: str) -> npt.NDArray[Any]:
    """Return one sample as the model takes it; one whose rank is one less gets a batch axis in front.

    Raises:
        EdgemlError: Its rank, a size or its type does not fit.
    """
    sample = np.asarray(sample)  # an element of an array of text is no array
    shaped = sample[None] if sample.ndim == len(tensor.shape) - 1 else sample
    fits = len(shaped.shape) == len(tensor.shape) and all(
        wanted in (-1, size) for wanted, size in zip(tensor.shape, shaped.shape, strict=True)
    )
    if not fits:
        raise EdgemlError(
            f"a sample of shape {_sizes(sample.shape)} does not fit input {tensor.name} ({_sizes(tensor.shape)})",
            where=where,
            mend="give samples of the model's shape",
        )
    if not np.can_cast(shaped.dtype, tensor.dtype, casting="same_kind"):
        raise EdgemlError(
            f"a sample of {shaped.dtype} does not fit input {tensor.name} of {tensor.dtype}",
            where=where,
            mend="give samples of the model's element type",
        )
    return np.asarray(shaped, dtype=tensor.dtype, order="C")  # ascontiguousarray would give a scalar an axis


def _sizes(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if size < 0 else str(size) for size in shape) + "]"


def read_inputs(file: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an NPZ by name, or the one of an NPY under the empty name, which stands for the only input.

    Raises:
        EdgemlError: The file is missing or no array file.
    """
    mend = "give an NPZ with an array an input, or an NPY for a model with one"
    try:
        found = np.load(file, allow_pickle=False)
        return {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except FileNotFoundError as error:
        raise EdgemlError("no such file", where=str(file), mend=mend) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise EdgemlError("no array file", where=str(file), mend=mend) from error
