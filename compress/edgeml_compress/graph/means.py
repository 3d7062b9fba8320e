"""Take the mean of each channel of a graph's tensors while it runs: the graph itself reduces, so none is held or taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.naming import Constants
from edgeml_compress.graph.running import Feed, cores, in_turn, open_session
from edgeml_targets.models import raise_opset

Floats = npt.NDArray[np.float64]
LEAST_OPSET: Final = 13  # Flatten from the last axis on
AXES_ARE_INPUTS: Final = 18  # the opset from which ReduceMean takes them so


def channel_means(model: ir.Model, axes: Mapping[str, int], feeds: Iterable[Feed]) -> dict[str, Floats]:
    """Return the mean of each channel over all feeds, (channels,), by a tensor's name.

    Args:
        model: A prepared graph; it is not changed.
        axes: The channels' axis of each float tensor, by name: 1 of three axes or more, or -1.
        feeds: What the graph is run on, side by side; each counts by the positions that a tensor has in it.
    """
    reducing = reducible(model)
    values = {v.name: v for node in reducing.graph for v in node.outputs}
    constants, outputs = Constants(reducing), dict[str, tuple[ir.Value, ir.Value]]()
    for name in reversed(list(axes)):  # ONNX Runtime runs the last reader first, see `observing.py`
        nodes = mean_of(reducing, constants, values[name], axes[name])
        counting = ir.node("Size", [values[name]])
        counting.outputs[0].name = constants.fresh(f"{name}_size")
        counting.outputs[0].type = ir.TensorType(ir.DataType.INT64)
        reducing.graph.extend([*nodes, counting])
        outputs[name] = nodes[-1].outputs[0], counting.outputs[0]
    reducing.graph.outputs[:] = [output for pair in outputs.values() for output in pair]
    session = open_session(reducing)

    def reduced(feed: Feed) -> list[npt.NDArray[Any]]:
        return list(session.run(None, dict(feed)))

    sums, counts = dict.fromkeys(outputs, np.zeros(1)), dict.fromkeys(outputs, 0)
    for found in in_turn(reduced, feeds, cores()):
        for name, mean, size in zip(outputs, found[::2], found[1::2], strict=True):
            positions = int(size) // max(mean.size, 1)
            sums[name] = sums[name] + positions * mean.astype(np.float64)
            counts[name] += positions
    return {name: sums[name] / max(counts[name], 1) for name in axes}


def reducible(model: ir.Model) -> ir.Model:
    """Return a copy of a model in which `mean_of` can be used."""
    raised = raise_opset(model, LEAST_OPSET)
    return model.clone() if raised is model else raised


def mean_of(model: ir.Model, constants: Constants, value: ir.Value, axis: int) -> list[ir.Node]:
    """Return nodes, in no graph yet, the last of which gives a tensor's mean by channel, (channels,).

    Args:
        model: What the tensor belongs to, see `reducible`.
        constants: Of that model.
        value: The tensor.
        axis: Its channels': 1 of three axes or more, or -1.
    """
    if axis == -1:
        flat, others = ir.node("Flatten", [value], {"axis": -1}), [0]
    else:
        sizes = constants.add(f"{value.name}_mean_sizes", np.array([0, 0, -1]))
        flat, others = ir.node("Reshape", [value, sizes]), [0, 2]
    if model.opset_imports[""] < AXES_ARE_INPUTS:
        mean = ir.node("ReduceMean", flat.outputs, {"axes": others, "keepdims": 0})
    else:
        given = constants.add(f"{value.name}_mean_axes", np.array(others))
        mean = ir.node("ReduceMean", [flat.outputs[0], given], {"keepdims": 0})
    for node in (flat, mean):
        node.outputs[0].name = constants.fresh(f"{value.name}_mean")
    mean.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    return [flat, mean]
