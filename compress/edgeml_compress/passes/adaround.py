"""Learn for each weight whether to round it up or down: AdaRound. What counts is the layer's output, not the weight.

Comes after `quantize_weights`, whose grids it keeps to, and `static_activations`, whose rounding it then takes into account.
The weights are moved onto their grid, so that every exporter's rounding to nearest gives the integers that were learned.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from pydantic import Field

from edgeml_compress.graph.layers import constant, is_constant, name_of, sole_user
from edgeml_compress.layerwise.grids import Grid, grid_of, replace_weights, why_fixed
from edgeml_compress.layerwise.products import as_matrix, columns, from_matrix, picked
from edgeml_compress.layerwise.rounding import Rounding
from edgeml_compress.layerwise.walk import Chunks, Stop, walk
from edgeml_compress.passes import Draft, Pass
from edgeml_compress.placement import node_name

Array = npt.NDArray[np.float32]

POSITIONS: Final = 256  # in one iteration
BANK_BYTES: Final = 64 << 20  # of a layer's inputs that iterations draw from


@dataclass(frozen=True)
class Params:
    """Parameters of `adaround`.

    Args:
        samples: Most samples that inputs are gathered from; fewer where their activations would not fit into memory.
        iterations: Steps of the optimizer for each layer: more take longer and gain less and less.
        pull: Weight of the regularizer that takes every rounding to up or down.
        seed: Draws what each step looks at.
    """

    samples: Annotated[int, Field(ge=1)] = 128
    iterations: Annotated[int, Field(ge=1, le=100_000)] = 1000
    pull: Annotated[float, Field(gt=0)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0


def adaround(draft: Draft, params: Params) -> Draft:
    """Put every encoded weight on its grid, each number up or down so that its layer's output moves least.

    The layer is fed what enters it once all before are integers and is to give what the float network gives there, behind
    its Relu where it has one. An output for which that comes out no better than rounding to nearest is rounded to nearest.

    Raises:
        EdgemlError: There is something to learn, and the draft has no samples.

    Source: Nagel et al. 2020, arXiv:2004.10568, section 3, equation 25; each output's loss is divided by what
    rounding to nearest costs it on the same inputs, so that one `pull` suits every layer.
    """
    chosen: dict[str, Array] = {}
    notes: list[str] = []

    def visit(stop: Stop) -> Chunks:
        if (reason := why_fixed(stop)) is not None:
            notes.append(f"{stop.node.op_type} {node_name(stop.node)}: rounded to nearest, {reason}")
            return stop.run(stop.rounded)
        matrix = learn(_task(stop, params.seed), params)
        chosen[name_of(stop.weight)] = from_matrix(stop.node, matrix, constant(stop.weight))
        return stop.run(chosen[name_of(stop.weight)])

    walk(draft, params.samples, visit)
    model = replace_weights(draft.model, draft.encodings, chosen)
    return dataclasses.replace(draft, model=model, reference=draft.plain, notes=draft.notes + tuple(notes))


@dataclass(frozen=True)
class Task:
    """What is learned for one layer.

    Args:
        matrix: Its weight, (groups, outputs, inputs).
        grid: Of the same shape.
        given: What it is multiplied with, (groups, positions, inputs).
        wanted: What should come out, its bias taken off, (groups, positions, outputs).
        bias: (groups, 1, outputs).
        relu: Whether only what is above 0 counts, its bias included.
    """

    matrix: Array
    grid: Grid
    given: Array
    wanted: Array
    bias: Array
    relu: bool

    def errors(self, matrix: Array) -> Array:
        """Return the mean squared error of each output of another matrix, (groups, outputs, 1)."""
        return np.asarray(np.mean(self._difference(matrix, self.given, self.wanted) ** 2, axis=1)[..., None])

    def gradient(self, matrix: Array, positions: npt.NDArray[np.intp]) -> Array:
        """Return the gradient by `matrix` of half an output's squared error, the mean over some positions."""
        given = self.given[:, positions]
        difference = self._difference(matrix, given, self.wanted[:, positions])
        return np.asarray(difference.transpose(0, 2, 1) @ given / np.float32(len(positions)))

    def _difference(self, matrix: Array, given: Array, wanted: Array) -> Array:
        got = given @ matrix.transpose(0, 2, 1)
        if not self.relu:
            return got - wanted
        return np.asarray(np.maximum(got + self.bias, 0) - np.maximum(wanted + self.bias, 0))


def _task(stop: Stop, seed: int) -> Task:
    values = constant(stop.weight)
    matrix = as_matrix(stop.node, values)
    groups, outputs, inputs = matrix.shape
    given = np.concatenate([columns(stop.node, chunk, values.shape[2:]) for chunk in stop.entering], axis=2)
    wanted = np.concatenate([picked(stop.node, chunk) for chunk in stop.wanted], axis=2)
    most = max(BANK_BYTES // (4 * groups * (inputs + outputs)), POSITIONS)
    if given.shape[2] > most:
        few = np.sort(np.random.default_rng(seed).choice(given.shape[2], most, replace=False))
        given, wanted = given[:, :, few], wanted[:, :, few]
    given, wanted = (np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (given, wanted))  # rows are drawn
    bias = _bias(stop.node, groups, outputs)
    reader = sole_user(stop.node.outputs[0])
    relu = reader is not None and reader.op_type == "Relu"
    return Task(matrix, grid_of(stop), given, wanted - bias, bias, relu)


def _bias(node: ir.Node, groups: int, outputs: int) -> Array:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None or not is_constant(bias) or constant(bias).size not in (1, groups * outputs):
        return np.zeros((groups, 1, outputs), np.float32)
    factor = node.attributes.get_float("beta", 1.0) if node.op_type == "Gemm" else 1.0
    row = np.broadcast_to(constant(bias).reshape(-1) * factor, groups * outputs)
    return row.reshape(groups, 1, outputs).astype(np.float32)


def learn(task: Task, params: Params) -> Array:
    """Return the points of the grid that were learned, or the nearest where those are better."""
    grid = task.grid
    nearest = grid.nearest(task.matrix.astype(np.float64)).astype(np.float32)
    cost = np.mean((task.given @ (nearest - task.matrix).transpose(0, 2, 1)) ** 2, axis=1)[..., None]
    share = np.divide(2, cost, out=np.zeros_like(cost), where=cost > 0)  # an output that loses nothing is left alone
    steps = grid.steps.astype(np.float32)
    below = np.floor(task.matrix / steps)
    rounding = Rounding.begin(task.matrix / steps - below)
    count, draw = task.given.shape[1], np.random.default_rng(params.seed)
    for done in range(params.iterations):
        positions = draw.integers(0, count, min(POSITIONS, count))
        whole = below + rounding.up()
        by_matrix = task.gradient(np.clip(whole, grid.lowest, grid.highest) * steps, positions)
        inside = (whole > grid.lowest) & (whole < grid.highest)
        rounding.step(by_matrix * (steps * inside * share), done / params.iterations, params.pull)
    learned = (np.clip(below + (rounding.up() >= 0.5), grid.lowest, grid.highest) * steps).astype(np.float32)
    return np.where(task.errors(learned) < task.errors(nearest), learned, nearest)


PASS = Pass(Params, adaround)
