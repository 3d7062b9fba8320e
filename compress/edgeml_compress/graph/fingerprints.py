"""Tell two graphs apart by what they compute: their nodes and their constants."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.naming import graphs


def fingerprint(model: ir.Model) -> str:
    """Return the SHA-256 of a model's nodes, with their names and attributes, and of its constants."""
    digest = hashlib.sha256()
    for graph in graphs(model):
        for node in graph:
            given, made = [v.name if v is not None else "" for v in node.inputs], [v.name for v in node.outputs]
            plain = [
                str(a)
                for a in node.attributes.values()
                if a.type not in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            ]
            digest.update(f"{node.domain} {node.op_type} {node.name} {given} {made} {plain}\n".encode())
        for name, value in sorted(graph.initializers.items()):
            if value.const_value is not None:
                array = value.const_value.numpy()
                digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
                text = array.dtype.hasobject
                digest.update(
                    repr(array.tolist()).encode()
                    if text
                    else np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
                )
    return digest.hexdigest()
