"""What a file cannot express, and the one place where it becomes an error that names the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import onnx_ir as ir

from edgeml_targets.contract.errors import NotExpressed

_MEND = "leave this target out, or change the model there"


class Inexpressible(Exception):
    """Raised by whoever finds it: a sentence without the node, which `naming` adds."""


@contextmanager
def naming(node: ir.Node) -> Iterator[None]:
    """Turn `Inexpressible` into an error that names the node and its operator.

    Raises:
        NotExpressed: The block raised `Inexpressible`.
    """
    with naming_place(describe(node)):
        yield


@contextmanager
def naming_place(where: str) -> Iterator[None]:
    """Turn `Inexpressible` into an error that names a place other than a node.

    Raises:
        NotExpressed: The block raised `Inexpressible`.
    """
    try:
        yield
    except Inexpressible as reason:
        raise NotExpressed(str(reason), where=where, mend=_MEND) from reason


def describe(node: ir.Node) -> str:
    """Return a node's name and operator on one line, whatever characters they have."""
    name = node.name or next((v.name for v in node.outputs if v.name), "")
    operator = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
    return f"node {name!r} ({operator if operator.isprintable() else ascii(operator)})"


def uncovered(nodes: list[ir.Node]) -> NotExpressed:
    """Return the error that names every operator that has no function here, each at its first node."""
    first: dict[tuple[str, str], ir.Node] = {}
    for node in nodes:
        first.setdefault((node.domain, node.op_type), node)
    where = ", ".join(describe(node) for node in first.values())
    what = (
        "this operator is not covered by the LiteRT writer"
        if len(first) == 1
        else "these operators are not covered by the LiteRT writer"
    )
    return NotExpressed(what, where=where, mend=_MEND)
