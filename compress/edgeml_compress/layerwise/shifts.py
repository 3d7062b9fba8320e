"""What rounding shifts each layer's channels by on average, every layer before it corrected already.

Where all samples can be fed at once, one graph does it in one run: behind each layer stand the mean that the float network has
there, the layer's own, and what adds the difference before the next layer reads. Else a walk does it, a part of the graph
after the other, which takes two to three times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.layers import name_of
from edgeml_compress.graph.means import Floats, mean_of, reducible
from edgeml_compress.graph.naming import Constants
from edgeml_compress.graph.running import batches, open_session
from edgeml_compress.layerwise.simulation import simulated
from edgeml_compress.layerwise.walk import Chunks, Stop, channel_axis, taking_part, walk
from edgeml_compress.passes import Draft

MOST_TOGETHER: Final = 64
"""Samples in one run. That what lies between the layers fits into memory was seen to, not what is computed on the way."""


def channel_shifts(draft: Draft, most_samples: int, corrected: Callable[[ir.Node], bool]) -> dict[str, Floats]:
    """Return what float gives more than each layer's channels on average, (channels,), by the name of what the layer gives.

    Args:
        draft: Its layers with an encoded weight are asked.
        most_samples: That the means are taken over; fewer where their tensors would not fit into memory.
        corrected: Tells which layers the next ones see corrected; the others are left out.

    Raises:
        EdgemlError: There is a layer, and the draft has no samples.
    """
    party = taking_part(draft, most_samples)
    asked = {name_of(node.outputs[0]): channel_axis(node) for node in party.layers if corrected(node)} if party else {}
    if party is None or not asked:
        return {}
    feeds = list(batches(draft.model, party.samples, MOST_TOGETHER if party.at_once() > 1 else 1))
    if len(feeds) > 1:
        return _by_walking(draft, most_samples, corrected)
    wanted = party.means()  # before the simulation's weights are held, too
    graph = _correcting(simulated(draft.model, draft.encodings), asked, wanted)
    found = open_session(graph, threads=0).run(None, dict(feeds[0].feed))
    return {name: np.asarray(shift, np.float64) for name, shift in zip(asked, found, strict=True)}


def _correcting(model: ir.Model, axes: Mapping[str, int], wanted: Mapping[str, Floats]) -> ir.Model:
    """Return a graph that corrects the layers that give some tensors, and gives what it corrected each by."""
    graph = reducible(model)
    values = {v.name: v for node in graph.graph for v in node.outputs}
    constants = Constants(graph)
    shifts = [_corrected(graph, constants, values[name], axis, wanted[name]) for name, axis in axes.items()]
    graph.graph.outputs[:] = shifts
    return graph


def _corrected(model: ir.Model, constants: Constants, value: ir.Value, axis: int, wanted: Floats) -> ir.Value:
    """Let all who read a layer's result read it corrected; return what is added to each channel."""
    readers, producer = list(value.uses()), value.producer()
    if producer is None:
        raise ValueError(f"{value.name} is no layer's")
    target = constants.add(f"{value.name}_wanted", wanted.astype(np.float32))
    nodes = mean_of(model, constants, value, axis)
    nodes.append(ir.node("Sub", [target, nodes[-1].outputs[0]]))
    shift = added = nodes[-1].outputs[0]
    if axis == 1:
        rank = len(producer.inputs[1].shape or ()) if producer.inputs[1] is not None else 0
        along = constants.add(f"{value.name}_along", np.array([-1] + [1] * (rank - 2)))
        nodes.append(ir.node("Reshape", [shift, along]))
        added = nodes[-1].outputs[0]
    nodes.append(ir.node("Add", [value, added]))
    for node in nodes[2:]:
        node.outputs[0].name = constants.fresh(f"{value.name}_corrected")
    shift.type = ir.TensorType(ir.DataType.FLOAT)
    for reader in readers:
        reader.node.replace_input_with(reader.idx, nodes[-1].outputs[0])
    model.graph.insert_after(producer, nodes)
    return shift


def _by_walking(draft: Draft, most_samples: int, corrected: Callable[[ir.Node], bool]) -> dict[str, Floats]:
    shifts: dict[str, Floats] = {}

    def visit(stop: Stop) -> Chunks:
        got, axis = stop.run(stop.rounded), channel_axis(stop.node)
        if not corrected(stop.node):
            return got
        shift = stop.wanted_means - _means(got, axis)
        shifts[name_of(stop.node.outputs[0])] = shift
        return [chunk + _along(shift, axis, chunk.ndim).astype(np.float32) for chunk in got]

    walk(draft, most_samples, visit, means=True)
    return shifts


def _means(chunks: Chunks, axis: int) -> Floats:
    """Return the mean of each channel, (channels,)."""
    sums = [np.moveaxis(c, axis, 0).reshape(c.shape[axis], -1).sum(axis=1, dtype=np.float64) for c in chunks]
    return np.asarray(np.sum(sums, axis=0) / sum(c.size // c.shape[axis] for c in chunks))


def _along(shift: Floats, axis: int, rank: int) -> Floats:
    shape = [1] * rank
    shape[axis] = -1
    return shift.reshape(shape)
