"""Choose the integers of weights one input after the other, each making up for the error of those before: GPTQ.

Comes after `quantize_weights`, whose grids it keeps to. The weights are moved onto their grid, so that every exporter's
rounding to nearest gives the integers that were chosen here. It pays most at 4 bits; at 8 where even small errors matter.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from edgeml_compress.graph.layers import constant, name_of
from edgeml_compress.layerwise.grids import Grid, grid_of, replace_weights, why_fixed
from edgeml_compress.layerwise.products import as_matrix, columns, from_matrix
from edgeml_compress.layerwise.walk import Chunks, Stop, walk
from edgeml_compress.passes import Draft, Pass
from edgeml_compress.placement import node_name

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[np.float32]
POSITIONS: Final = 256  # of one sample: they cost little, and a Hessian from few is its own noise
LAZY: Final = 128  # inputs whose errors are gathered before the rest of the matrix is touched


@dataclass(frozen=True)
class Params:
    """Parameters of `gptq`.

    Args:
        samples: Most samples that inputs are gathered from; fewer where their activations would not fit into memory.
        damping: Added to the Hessian's diagonal, as a share of its mean: how little is trusted to the samples.
        most_inputs: Layers in which an output has more inputs are rounded to nearest: the Hessian is their square.
        every: Only each so-manyth sample is learned from, from the first on: the others may judge what comes out.
    """

    samples: Annotated[int, Field(ge=1)] = 128
    damping: Annotated[float, Field(gt=0, le=1)] = 0.01
    most_inputs: Annotated[int, Field(ge=1)] = 4096
    every: Annotated[int, Field(ge=1)] = 1


def gptq(draft: Draft, params: Params) -> Draft:
    """Put every encoded weight on its grid so that the outputs of its layer move least, layer after layer.

    Inputs are taken by falling weight of their own, and an output channel that rounding to nearest serves better keeps that.
    Where the scheme limits sums of neighbouring integers, which leaves room for rounding up or down and no more, a weight of
    an integer layer moves by less than a step.

    Raises:
        EdgemlError: There is something to choose, and the draft has no samples.

    Source: Frantar et al. 2022, arXiv:2210.17323, algorithm 1; the order of inputs: its authors' code, `act_order`.
    """
    chosen: dict[str, Array] = {}
    notes: list[str] = []

    def visit(stop: Stop) -> Chunks:
        reason = why_fixed(stop)
        values = constant(stop.weight)
        if reason is None and (inputs := as_matrix(stop.node, values).shape[2]) > params.most_inputs:
            reason = f"an output has {inputs:,} inputs, {params.most_inputs:,} allowed"
        if reason is not None:
            notes.append(f"{stop.node.op_type} {node_name(stop.node)}: rounded to nearest, {reason}")
            return stop.run(stop.rounded)
        matrix, grid = as_matrix(stop.node, values), grid_of(stop)
        if draft.scheme.pair_sum is not None and name_of(stop.entering_value) in draft.encodings.tensors:
            grid = grid.around(matrix.astype(np.float64))
        matrix = choose(matrix, grid, _hessian(stop), params.damping)
        chosen[name_of(stop.weight)] = from_matrix(stop.node, matrix, values)
        return stop.run(chosen[name_of(stop.weight)])

    some = None if draft.samples is None else {name: array[:: params.every] for name, array in draft.samples.items()}
    walk(dataclasses.replace(draft, samples=some), params.samples, visit)
    model = replace_weights(draft.model, draft.encodings, chosen)
    return dataclasses.replace(draft, model=model, reference=draft.plain, notes=draft.notes + tuple(notes))


def _hessian(stop: Stop) -> Floats:
    """Return the second moments of what a layer's weight is multiplied with, (groups, inputs, inputs)."""
    values = constant(stop.weight)
    groups, _, inputs = as_matrix(stop.node, values).shape
    found, count = np.zeros((groups, inputs, inputs)), 0
    for chunk in stop.entering:
        given = columns(stop.node, chunk, values.shape[2:], POSITIONS)
        found += given @ given.transpose(0, 2, 1)
        count += given.shape[2]
    return found / max(count, 1)


def choose(matrix: Array, grid: Grid, hessian: Floats, damping: float) -> Array:
    """Return points of the grid near `matrix` whose products with the inputs that gave `hessian` are near its own.

    Args:
        matrix: (groups, outputs, inputs), off the grid.
        grid: Of the same shape.
        hessian: Second moments of the inputs, (groups, inputs, inputs).
        damping: See `Params`.
    """
    rows = [_choose_group(m.astype(np.float64), grid.of_group(g), hessian[g], damping) for g, m in enumerate(matrix)]
    return np.stack(rows).astype(np.float32)


def _choose_group(matrix: Floats, grid: Grid, hessian: Floats, damping: float) -> Floats:
    order = np.argsort(-np.diagonal(hessian), kind="stable")
    ordered = hessian[np.ix_(order, order)]
    damped = ordered + np.eye(len(ordered)) * max(damping * float(np.diagonal(ordered).mean()), 1e-30)
    # The upper factor of the inverse: its rows tell how inputs yet to come make up for one that was rounded.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    found = _feed_back(matrix[:, order], grid.of_inputs(order), factor)
    back = np.empty_like(found)
    back[:, order] = found
    nearest = grid.nearest(matrix)
    better = _loss(back - matrix, hessian) < _loss(nearest - matrix, hessian)
    return np.where(better[:, None], back, nearest)


def _feed_back(matrix: Floats, grid: Grid, factor: Floats) -> Floats:
    left, found = matrix.copy(), np.empty_like(matrix)
    inputs = matrix.shape[1]
    for first in range(0, inputs, LAZY):
        last = min(first + LAZY, inputs)
        errors = np.empty((len(matrix), last - first))
        for i in range(first, last):
            found[:, i] = grid.of_inputs(np.array([i])).nearest(left[:, i : i + 1])[:, 0]
            errors[:, i - first] = (left[:, i] - found[:, i]) / factor[i, i]
            left[:, i:last] -= errors[:, i - first, None] * factor[i, i:last]
        left[:, last:] -= errors @ factor[first:last, last:]
    return found


def _loss(error: Floats, hessian: Floats) -> Floats:
    """Return each output's mean squared error, (outputs,)."""
    return np.asarray(((error @ hessian) * error).sum(axis=1))


PASS = Pass(Params, gptq)
