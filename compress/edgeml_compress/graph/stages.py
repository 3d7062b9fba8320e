"""A network in stages, a few nodes each and each a session of its own, so that a change within one is run without the rest.

What stands before a stage is computed once for all changes in it, and no change makes the whole network be loaded again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.graph.layers import constant, is_constant, name_of
from edgeml_compress.graph.parts import Parts, read_by
from edgeml_compress.graph.running import Feed, open_session

LEAST_NODES: Final = 24
"""Of a stage: a change loads them again, and each stage behind it costs a call. The sensitivity of 200 small layers on 24
samples took 6.8 s of processor time with 16 or 24 nodes a stage, 7.9 with 48, and 42 where the whole was loaded each time."""

State = Mapping[str, npt.NDArray[Any]]
"""What one sample's tensors hold between two stages: those that a later stage reads, and outputs of the whole, by name."""


@dataclass(frozen=True)
class Stage:
    """Consecutive nodes of the main graph.

    Args:
        first: The place of its first node.
        entering: The tensors that are there before it and that it, or what follows, needs.
    """

    first: int
    entering: tuple[ir.Value, ...]


class Stages:
    """A model cut into stages, each with a session on one thread. The model must not change meanwhile."""

    def __init__(self, model: ir.Model) -> None:
        self._outputs, self._parts = tuple(model.graph.outputs), Parts(model)
        self._constants = {name_of(value): constant(value) for value in self._outputs if is_constant(value)}
        self._stages = _cut(self._parts, model)
        self._sessions = [open_session(self.part(i, i)) for i in range(len(self._stages))]

    def __len__(self) -> int:
        return len(self._stages)

    def span(self, nodes: Collection[ir.Node]) -> tuple[int, int]:
        """Return the stages of the first and the last of some nodes; one in a body counts as what holds the body."""
        places = [self._parts.place(node) for node in nodes]
        firsts = [stage.first for stage in self._stages]
        return bisect_right(firsts, min(places)) - 1, bisect_right(firsts, max(places)) - 1

    def part(self, first: int, last: int) -> ir.Model:
        """Return stages `first` to `last`, both included, as a model of their own."""
        entering = dict.fromkeys(self._stages[first].entering)
        after = dict.fromkeys(self._after(last))
        return self._parts.between(list(entering), [v for v in after if v not in entering and not is_constant(v)])

    def begin(self, feed: Feed) -> State:
        """Return what one sample holds before the first stage."""
        return {name_of(value): feed[name_of(value)] for value in self._stages[0].entering}

    def run(self, state: State, first: int, last: int) -> State:
        """Return what one sample holds behind stage `last`, from what it held before stage `first`."""
        for index in range(first, last + 1):
            state = self.run_changed(self._sessions[index], state, index)
        return state

    def run_changed(self, session: Any, state: State, last: int) -> State:
        """Return what one sample holds behind stage `last`, from a session of a `part`, changed or not, that ends there."""
        names = [value.name for value in session.get_outputs()]
        made = session.run(names, {value.name: state[value.name] for value in session.get_inputs()})
        held = {**self._constants, **state, **dict(zip(names, made, strict=True))}
        return {name_of(value): held[name_of(value)] for value in self._after(last)}

    def _after(self, index: int) -> tuple[ir.Value, ...]:
        last = index + 1 == len(self._stages)
        return self._outputs if last else self._stages[index + 1].entering


def _cut(parts: Parts, model: ir.Model) -> list[Stage]:
    """Return the stages, each of `LEAST_NODES` or more, between places where only tensors of a known type are alive."""
    last_read = {value: index for index, node in enumerate(parts.nodes) for value in read_by(node)}
    last_read.update((value, len(parts.nodes)) for value in model.graph.outputs)
    alive = {v: None for v in model.graph.inputs if v in last_read}
    ending: dict[int, list[ir.Value]] = {}
    for value, index in last_read.items():
        ending.setdefault(index, []).append(value)
    found = [Stage(0, tuple(alive))]
    for index, node in enumerate(parts.nodes):
        alive.update((value, None) for value in node.outputs if value in last_read)
        for value in ending.get(index, ()):
            alive.pop(value, None)
        done = index + 1 - found[-1].first
        if done >= LEAST_NODES and len(parts.nodes) - index > LEAST_NODES and all(map(_has_type, alive)):
            found.append(Stage(index + 1, tuple(alive)))
    return found


def _has_type(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType) and value.dtype is not None
