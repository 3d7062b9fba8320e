"""Keep every constant once: those of the bodies of If and Loop move to the main graph, and equal ones become one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable
from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_compress.rewrites import Said

SAID: Final = Said(
    "Kept {} once.", "repeated constant", "Equal ones, also in the branches of an If, need their bytes once."
)


def share_constants(model: ir.Model) -> int:
    """Move constants out of bodies, then let the users of equal ones read one; return how many became needless."""
    for body in graphs(model)[1:]:
        _move_out(body, model.graph)
    held = [value for value in model.graph.initializers.values() if _can_be_shared(value)]
    needless = 0
    for alike in _grouped(held, _kind_of):
        for equal in _grouped(alike, _content_of) if len(alike) > 1 else ():
            kept, *others = equal
            for value in others:
                value.replace_all_uses_with(kept)
                del model.graph.initializers[str(value.name)]
            needless += len(others)
    return needless


def _move_out(body: ir.Graph, main: ir.Graph) -> None:
    for name, value in list(body.initializers.items()):
        if not value.is_graph_input() and not value.is_graph_output():  # what a body returns must be made inside of it
            del body.initializers[name]
            main.register_initializer(value)


def _can_be_shared(value: ir.Value) -> bool:
    return value.const_value is not None and not value.is_graph_input() and not value.is_graph_output()


def _grouped(values: Iterable[ir.Value], key_of: Callable[[ir.TensorProtocol], Hashable]) -> list[list[ir.Value]]:
    found: dict[Hashable, list[ir.Value]] = {}
    for value in values:
        if value.const_value is not None:
            found.setdefault(key_of(value.const_value), []).append(value)
    return list(found.values())


def _kind_of(tensor: ir.TensorProtocol) -> Hashable:
    return tensor.dtype, tuple(tensor.shape), tensor.dtype != ir.DataType.STRING and tensor.nbytes


def _content_of(tensor: ir.TensorProtocol) -> Hashable:
    """Return what equal tensors have in common: a hash, so that no copy of a large one is held."""
    if isinstance(tensor, ir.StringTensor) or tensor.dtype == ir.DataType.STRING:
        return tuple(tensor.numpy().ravel().tolist())
    return hashlib.sha256(tensor.tobytes()).digest()
