"""Compute once what depends on constants alone, also in the bodies of If and Loop."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.layers import is_constant, name_of
from edgeml_compress.graph.naming import Constants, graphs
from edgeml_compress.graph.running import open_session
from edgeml_compress.rewrites import Said

SAID: Final = Said(
    "Computed {} beforehand.", "constant", "What is the same at every inference need not be computed at each."
)
NEVER: Final = frozenset(
    "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial Bernoulli Dropout "
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear If Loop Scan".split()
)
MOST_GROWTH_BYTES: Final = 1 << 16  # a constant that would be expanded further than this stays as it is


def fold_constants(model: ir.Model) -> int:
    """Replace nodes whose inputs are all constants by what they give, computed by ONNX Runtime.

    What would make the model larger stays: a constant that is expanded, or one that others still need as it was.
    """
    known: set[ir.Value] = set()
    nodes: dict[ir.Node, None] = {}
    for graph in graphs(model):  # an outer graph before its bodies, which may read what it gives
        for node in graph:
            inputs = [v for v in node.inputs if v is not None]
            if node.op_type not in NEVER and node.domain == "" and all(is_constant(v) or v in known for v in inputs):
                nodes[node] = None
                known.update(node.outputs)
    wanted = [v for n in nodes for v in n.outputs if any(use.node not in nodes for use in v.uses())]
    folded, constants = 0, Constants(model)
    for value, array in zip(wanted, _evaluate(model, nodes, wanted), strict=True):
        if (
            isinstance(array, np.ndarray)
            and array.dtype.kind in "fiub"
            and array.nbytes <= _freed_bytes(value, nodes) + MOST_GROWTH_BYTES
        ):
            value.replace_all_uses_with(constants.add(f"{value.name}_c", array))
            folded += 1
    return folded


def _freed_bytes(value: ir.Value, nodes: Collection[ir.Node]) -> int:
    """Return how large the constants are that nobody but these nodes reads, of those that `value` is made from."""
    seen, queue, size = set(), [value], 0
    while queue:
        current = queue.pop()
        if current in seen:
            continue
        seen.add(current)
        if current.const_value is not None:
            size += current.const_value.nbytes if all(use.node in nodes for use in current.uses()) else 0
        elif (node := current.producer()) is not None:
            queue.extend(v for v in node.inputs if v is not None)
    return size


def _evaluate(model: ir.Model, nodes: Collection[ir.Node], wanted: list[ir.Value]) -> list[Any]:
    """Run `nodes` as a graph of their own, its values named by numbers, since they come from several graphs.

    What it gives are arrays, and lists of them where a value is a sequence.
    """
    if not wanted:
        return []
    stand_ins: dict[ir.Value, ir.Value] = {}

    def stand_in(value: ir.Value) -> ir.Value:
        if value not in stand_ins:
            held = value.const_value
            kind = None if held is None else ir.TensorType(held.dtype)
            shape = None if held is None else value.shape
            stand_ins[value] = ir.Value(name=f"v{len(stand_ins)}", type=kind, shape=shape, const_value=held)
        return stand_ins[value]

    copies = [
        ir.Node(
            "",
            node.op_type,
            [None if v is None else stand_in(v) for v in node.inputs],
            list(node.attributes.values()),
            outputs=[stand_in(v) for v in node.outputs],
        )
        for node in nodes
    ]
    held = [v for v in stand_ins.values() if v.const_value is not None]
    outputs = [stand_ins[v] for v in wanted]
    part = ir.Graph([], outputs, nodes=copies, initializers=held, opset_imports=model.opset_imports, name="constants")
    session = open_session(ir.Model(part, ir_version=model.ir_version))
    found: list[Any] = session.run([name_of(v) for v in outputs], {})
    return found
