"""Keep every constant once: those of the bodies of If and Loop move to the main graph, and equal ones become one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

import onnx_ir as ir

from edgeml_compress.graph.naming import graphs
from edgeml_compress.rewrites import Said
from edgeml_targets.contract.equal import Firsts

SAID: Final = Said(
    "Kept {} once.", "repeated constant", "Equal ones, also in the branches of an If, need their bytes once."
)


def share_constants(model: ir.Model) -> int:
    """Move constants out of bodies, then let the users of equal ones read one; return how many became needless."""
    for body in graphs(model)[1:]:
        _move_out(body, model.graph)
    firsts, strings, needless = Firsts[ir.Value](), dict[Hashable, ir.Value](), 0
    for name, value in list(model.graph.initializers.items()):
        if value.const_value is None or value.is_graph_input() or value.is_graph_output():
            continue
        array = value.const_value.numpy()
        text = (array.shape, *array.ravel()) if array.dtype.hasobject else None
        kept = firsts.first(array, value) if text is None else strings.setdefault(text, value)
        if kept is not value:
            value.replace_all_uses_with(kept)
            del model.graph.initializers[name]
            needless += 1
    return needless


def _move_out(body: ir.Graph, main: ir.Graph) -> None:
    for name, value in list(body.initializers.items()):
        if not value.is_graph_input() and not value.is_graph_output():  # what a body returns must be made inside of it
            del body.initializers[name]
            main.register_initializer(value)
