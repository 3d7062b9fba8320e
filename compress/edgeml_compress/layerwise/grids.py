"""The grid of a weight beside its matrix: which values an encoding can tell apart, number for number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import constant, is_constant, name_of
from edgeml_compress.layerwise.products import as_matrix, why_no_product
from edgeml_compress.layerwise.simulation import on_grid
from edgeml_compress.layerwise.walk import Stop
from edgeml_targets.contract.encodings import Encoding, Encodings

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The points around 0 that numbers of a weight may take: multiples of a step each, between two whole numbers.

    Args:
        steps: One step, of the shape of what is put on the grid.
        lowest, highest: In steps, of the same shape.
    """

    steps: Floats
    lowest: Floats
    highest: Floats

    def of_group(self, group: int) -> Grid:
        """Return the grid of one group's matrix."""
        return Grid(self.steps[group], self.lowest[group], self.highest[group])

    def of_inputs(self, inputs: npt.NDArray[np.intp]) -> Grid:
        """Return the grid of some columns of a matrix, (outputs, inputs)."""
        return Grid(self.steps[:, inputs], self.lowest[:, inputs], self.highest[:, inputs])

    def around(self, values: Floats) -> Grid:
        """Return the grid of the two points next to each of `values`, below and above, that lie on this one."""
        low, high = np.floor(values / self.steps), np.ceil(values / self.steps)
        held = [np.clip(side, self.lowest, self.highest) for side in (low, high)]
        return Grid(self.steps, held[0], held[1])

    def nearest(self, values: Floats) -> Floats:
        """Return the nearest points."""
        return np.asarray(np.clip(np.rint(values / self.steps), self.lowest, self.highest) * self.steps)


def why_fixed(stop: Stop) -> str | None:
    """Return why the integers of a layer cannot be chosen freely, or `None` where they can."""
    if (reason := why_no_product(stop.node, constant(stop.weight).ndim)) is not None:
        return reason
    if len(stop.weight.uses()) > 1:
        return "another operator has the same weight"
    if any(stop.encoding.zero_point):
        return "its zero point is not 0"
    return None


def grid_of(stop: Stop) -> Grid:
    """Return the grid of a layer's weight, of the shape of its matrix (groups, outputs, inputs)."""
    ones = np.ones(constant(stop.weight).shape, np.int8)
    steps = as_matrix(stop.node, stop.encoding.dequantize(ones)).astype(np.float64)  # whatever shares a scale
    ends = (np.full_like(steps, end) for end in (stop.encoding.lowest, stop.encoding.highest))
    return Grid(steps, *ends)


def replace_weights(model: ir.Model, encodings: Encodings, chosen: Mapping[str, Array]) -> ir.Model:
    """Return a copy of `model` with other weights, each number moved to the grid point that it means."""
    if not chosen:
        return model
    copy = model.clone()
    for value in copy.graph.initializers.values():
        if is_constant(value) and (name := name_of(value)) in chosen:
            encoding: Encoding = encodings.tensors[name]
            value.const_value = ir.tensor(on_grid(encoding, chosen[name]), name=name)
    return copy
