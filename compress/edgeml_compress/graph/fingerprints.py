"""Tell two graphs apart by what they compute: their nodes and their constants."""

from __future__ import annotations

import hashlib
from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_targets.contract.equal import digest_of_bits

BODIES: Final = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def fingerprint(model: ir.Model) -> str:
    """Return the SHA-256 of a model's nodes, with their names and attributes, and of its constants."""
    found = hashlib.sha256()
    for graph in graphs(model):
        for node in graph:
            given, made = [v.name if v is not None else "" for v in node.inputs], [v.name for v in node.outputs]
            plain = [str(a) for a in node.attributes.values() if a.type not in BODIES]
            found.update(f"{node.domain} {node.op_type} {node.name} {given} {made} {plain}\n".encode())
        for name, value in sorted(graph.initializers.items()):
            if value.const_value is not None:
                array = value.const_value.numpy()
                found.update(f"{name} {array.dtype} {array.shape}\n".encode())
                found.update(repr(array.tolist()).encode() if array.dtype.hasobject else digest_of_bits(array))
    return found.hexdigest()
