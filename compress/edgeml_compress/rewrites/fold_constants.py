"""Compute once what depends on constants alone."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.layers import is_constant, name_of
from edgeml_compress.running import open_session

NEVER: Final = frozenset(
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial Bernoulli Dropout "
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear If Loop Scan".split()
)
MOST_GROWTH_BYTES: Final = 1 << 16  # a constant that would be expanded further than this stays as it is


def fold_constants(model: ir.Model) -> int:
    """Replace nodes of the main graph whose inputs are all constants by what they give, computed by ONNX Runtime."""
    graph = model.graph
    known: set[ir.Value] = set()
    nodes: list[ir.Node] = []
    for node in graph:
        inputs = [v for v in node.inputs if v is not None]
        if node.op_type not in NEVER and node.domain == "" and all(is_constant(v) or v in known for v in inputs):
            nodes.append(node)
            known.update(node.outputs)
    if not nodes:
        return 0
    inside = set(nodes)
    wanted = [v for n in nodes for v in n.outputs if v.is_graph_output() or any(u.node not in inside for u in v.uses())]
    values = _evaluate(model, nodes, wanted)
    folded = 0
    for value in wanted:
        array = values[name_of(value)]
        if value.is_graph_output() or array.dtype.kind not in "fiub" or array.nbytes > _source_bytes(value):
            continue
        constant = ir.Value(name=f"{value.name}_c", const_value=ir.tensor(array, name=f"{value.name}_c"))
        constant.dtype, constant.shape = ir.DataType.from_numpy(array.dtype), ir.Shape(array.shape)
        graph.register_initializer(constant)
        value.replace_all_uses_with(constant)
        folded += 1
    return folded


def _source_bytes(value: ir.Value) -> int:
    """Return how large a folded value may be: what its nodes read, and a little more."""
    seen, queue, size = set(), [value], 0
    while queue:
        current = queue.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.const_value is not None:
            size += current.const_value.nbytes
        elif (node := current.producer()) is not None:
            queue.extend(v for v in node.inputs if v is not None)
    return size + MOST_GROWTH_BYTES


def _evaluate(model: ir.Model, nodes: list[ir.Node], wanted: list[ir.Value]) -> dict[str, np.ndarray]:
    part = model.clone()
    names = {name_of(v) for v in wanted}
    kept = {name_of(v) for n in nodes for v in n.outputs if v.name}
    part.graph.outputs.clear()
    part.graph.inputs.clear()
    for node in reversed(list(part.graph)):
        if not any(v.name in kept for v in node.outputs):
            part.graph.remove(node, safe=True)
    part.graph.outputs.extend(v for n in part.graph for v in n.outputs if v.name in names)
    order = [name_of(v) for v in part.graph.outputs]
    return dict(zip(order, open_session(part).run(order, {}), strict=True))
