"""Walk through a network layer by layer, in the order of its graph, beside its own simulation in integers.

At each layer a pass sees what enters it once all layers before are integers (and as the pass left them), and what the float
network gives there; what it answers is what the next layers see. One walk runs each network once, in segments between the
tensors that are held; only as many samples take part as fit into `HELD_BYTES`, so memory does not grow with them.

1. Cut: tensors that layers give, and those that several nodes read, are held; the rest is computed anew where it is needed.
2. See how many samples fit.
3. For each cut, in the graph's order: run what lies between, visit the layer, let go of what nobody will read again. The float
   network, which nothing changes, is run a few cuts ahead: to load a part takes longer than to run it.

Who needs of the float network only the mean of each channel gets it from one run of the whole, which all walks beside that
network share.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.calibration import Means
from edgeml_compress.graph.channels import as_many
from edgeml_compress.graph.layers import constant, is_constant, name_of
from edgeml_compress.graph.means import Floats, channel_means
from edgeml_compress.graph.parts import Parts, needed
from edgeml_compress.graph.running import (
    Samples,
    batches,
    cores,
    in_turn,
    most_at_once,
    open_session,
    spread,
    stackable,
)
from edgeml_compress.layerwise.simulation import simulated
from edgeml_compress.passes import Draft, needed_samples
from edgeml_targets.contract.encodings import Encoding

MOST_KNOWN: Final = 8
HELD_BYTES: Final = 160 << 20
AHEAD: Final = 4  # cuts: each is held until it is read
ALONE_BYTES: Final = 4 << 20  # of what enters a part: one thread has run less before others have begun
PRODUCTS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})

Array = npt.NDArray[np.float32]
Chunks = list[Array]
"""One tensor of all samples that take part, a batch an entry."""


@dataclass
class _Known:
    """What walks along one route share.

    Args:
        samples: Of which some take part; held, so that no others get their id.
        count: How many take part.
        at_once: How many of them the network may be fed at once; 0 until it was asked.
        means: The float network's, once they were asked for.
    """

    samples: Samples
    count: int
    at_once: int
    means: Mapping[str, Floats] | None = None


_KNOWN: Final[WeakKeyDictionary[ir.Model, dict[Any, _Known]]] = WeakKeyDictionary()
"""By the float network and, among others, the samples' id, which no others get while they are held."""


@dataclass(frozen=True)
class Stop:
    """One layer on the way.

    Args:
        node: The layer, in the draft's graph.
        weight: Its weight's initializer there.
        encoding: How that weight is written.
        rounded: The weight, each number at the nearest point of the grid.
        wanted: What the float network gives there, its bias included, before an activation; empty where a walk has its means alone.
        wanted_means: The mean of each of its channels, (channels,); empty where a walk has the values.
        enter: Returns `entering`.
        run: Returns what it gives for `entering` with a weight on or off the grid, and its own bias. Both only while it is visited.
    """

    node: ir.Node
    weight: ir.Value
    encoding: Encoding
    rounded: Array
    wanted: Chunks
    wanted_means: Floats
    enter: Callable[[], Chunks]
    run: Callable[[Array], Chunks]

    @property
    def entering(self) -> Chunks:
        """What enters the layer when all before it are integers; computed when it is first asked for."""
        return self.enter()

    @property
    def entering_value(self) -> ir.Value:
        """What the layer reads, in the draft's graph."""
        value = self.node.inputs[0]
        if value is None:
            raise ValueError(f"{self.node.name} reads nothing")
        return value


@dataclass(frozen=True)
class Party:
    """Who takes part in walks along one route.

    Args:
        layers: Those that are visited, in the graph's order: with an encoded weight, and fed by an input of the graph.
        samples: Those that take part; fewer than were asked for where their tensors would not fit into `HELD_BYTES`.
        at_once: Returns how many of them the network may be fed at once.
        means: Returns the mean of each channel that the float network gives at each layer, (channels,), by the name of what the
            layer gives.
    """

    layers: tuple[ir.Node, ...]
    samples: Samples
    at_once: Callable[[], int]
    means: Callable[[], Mapping[str, Floats]]


def walk(draft: Draft, most_samples: int, visit: Callable[[Stop], Chunks], *, means: bool = False) -> None:
    """Visit every layer with an encoded weight; `visit` returns what leaves it from then on, chunk for chunk.

    Args:
        draft: What is walked through.
        most_samples: That take part.
        visit: Called at each layer.
        means: Stops have `wanted_means` and no `wanted`, which takes less time.

    Raises:
        EdgemlError: The draft has no samples.
    """
    route = _route(draft)
    if not route:
        return
    party = _party(draft, route, most_samples)
    wanted = party.means() if means else {}
    plain = None if means else _Lane(draft.plain, party)
    integer = _Lane(simulated(draft.model, draft.encodings), party)
    gone = _no_more_needed(route)
    for index, cut in enumerate(route):
        if plain is not None:
            plain.look_ahead(route[index : index + AHEAD])
        if cut.layer is None:
            integer.hold(cut.name, integer.compute(cut.needs, cut.name))
        else:
            given = ([], wanted[cut.name]) if plain is None else (plain.held(cut.name), np.empty(0))
            integer.hold(cut.name, visit(_stop(draft, cut.layer, cut, given, integer)))
        for lane in (plain, integer):
            if lane is not None:
                lane.release(gone[index])


def asked_means(plain: ir.Model) -> Means | None:
    """Return the means of a float network that walks beside it asked for, of most layers; `None` where none did."""
    known = [k for k in _KNOWN.get(plain, {}).values() if k.means]
    most = max(known, key=lambda k: len(k.means or ()), default=None)
    if most is None or most.means is None:
        return None
    return Means(most.count, {name: tuple(values.tolist()) for name, values in most.means.items()})


def taking_part(draft: Draft, most_samples: int) -> Party | None:
    """Return who takes part in a walk; `None` where it would visit no layer.

    Raises:
        EdgemlError: There is a layer, and the draft has no samples.
    """
    route = _route(draft)
    return _party(draft, route, most_samples) if route else None


def channel_axis(node: ir.Node) -> int:
    """Return the axis of the channels of what a layer gives."""
    return 1 if node.op_type in ("Conv", "ConvTranspose") else -1


def encoded(node: ir.Node, draft: Draft) -> bool:
    """Tell whether a node multiplies an activation with a constant that has an encoding."""
    weight = node.inputs[1] if _may_be_encoded(node) else None
    return weight is not None and weight.name in draft.encodings.tensors


def _may_be_encoded(node: ir.Node) -> bool:
    """Tell whether a node multiplies a float32 activation with a constant."""
    if node.domain or node.op_type not in PRODUCTS or node.inputs[0] is None or is_constant(node.inputs[0]):
        return False
    weight = node.inputs[1]
    return weight is not None and is_constant(weight) and weight.dtype == ir.DataType.FLOAT


@dataclass(frozen=True)
class _Cut:
    """A tensor that is held: its name, the layer that gives it, if one does, and the held tensors that it is computed from."""

    name: str
    layer: ir.Node | None
    needs: tuple[str, ...]


def _route(draft: Draft) -> list[_Cut]:
    """Return the cuts up to the last layer, in the graph's order."""
    model = draft.model
    stops, known = {node for node in model.graph if encoded(node, draft)}, set(model.graph.inputs)
    route: list[_Cut] = []
    for node in model.graph:
        for value in node.outputs:
            branches = len(value.uses()) > 1 and value.dtype == ir.DataType.FLOAT
            needs = needed(node, known.__contains__) if node in stops or branches else set()
            if needs:  # what depends on no input is computed anew
                layer = node if node in stops else None
                route.append(_Cut(name_of(value), layer, tuple(sorted(map(name_of, needs)))))
                known.add(value)
    last = max((i for i, cut in enumerate(route) if cut.layer is not None), default=-1)
    return route[: last + 1]


def _no_more_needed(route: Sequence[_Cut]) -> list[tuple[str, ...]]:
    """Return for each cut the held tensors that no later one needs."""
    last = {cut.name: index for index, cut in enumerate(route)}
    for index, cut in enumerate(route):
        last.update(dict.fromkeys(cut.needs, index))
    gone: list[list[str]] = [[] for _ in route]
    for name, index in last.items():
        gone[index].append(name)
    return [tuple(names) for names in gone]


def _party(draft: Draft, route: Sequence[_Cut], most: int) -> Party:
    samples = needed_samples(draft, "the layers' errors")
    key = (id(samples), most, tuple((cut.name, cut.layer is not None) for cut in route))
    known, layers = _KNOWN.setdefault(draft.plain, {}), tuple(cut.layer for cut in route if cut.layer is not None)
    if key not in known:
        if len(known) == MOST_KNOWN:  # a pass that takes a part of the samples has others at each call
            known.clear()
        count = min(most, _how_many_fit(draft, route))
        known[key] = _Known(samples, count, draft.calibration.at_once, _saved_means(draft, layers, count))
    found = known[key]
    chosen = spread(samples, found.count)
    at_once = functools.partial(_at_once, draft.plain, chosen, found)
    return Party(layers, chosen, at_once, functools.partial(_float_means, draft.plain, layers, chosen, found))


def _saved_means(draft: Draft, layers: Sequence[ir.Node], count: int) -> Mapping[str, Floats] | None:
    saved, axes = draft.calibration.means, {name_of(node.outputs[0]): channel_axis(node) for node in layers}
    if saved is None or saved.samples != count or not as_many(draft.plain, axes, saved.channels):
        return None
    return {name: np.array(values) for name, values in saved.channels.items()}


def _at_once(plain: ir.Model, chosen: Samples, known: _Known) -> int:
    if not known.at_once:
        known.at_once = most_at_once(plain, chosen)
    return known.at_once


def _float_means(plain: ir.Model, layers: Sequence[ir.Node], chosen: Samples, known: _Known) -> Mapping[str, Floats]:
    if known.means is None:
        others = [node for node in plain.graph if _may_be_encoded(node)]  # another scheme's walks visit other layers
        axes = {name_of(node.outputs[0]): channel_axis(node) for node in (*layers, *others)}
        known.means = channel_means(plain, axes, (batch.feed for batch in batches(plain, chosen, most=1)))
    return known.means


def _how_many_fit(draft: Draft, route: Sequence[_Cut]) -> int:
    """Return how many samples' tensors, in both networks, fit into `HELD_BYTES`."""
    sizes = _sizes(draft, [cut.name for cut in route])
    alive, most = 0, 1
    for index, (cut, gone) in enumerate(zip(route, _no_more_needed(route), strict=True)):
        alive += sizes[cut.name]
        ahead = sum(sizes[c.name] for c in route[index + 1 : index + AHEAD])
        most = max(most, 2 * alive + 2 * sizes[cut.name] + ahead)  # what enters the layer is about what leaves it
        alive -= sum(sizes.get(name, 0) for name in gone)
    return max(HELD_BYTES // most, 1)


def _sizes(draft: Draft, names: Sequence[str]) -> dict[str, int]:
    """Return how many bytes some tensors take for one sample: as was inferred, else from a run."""
    wanted = set(names)
    values = [value for node in draft.model.graph for value in node.outputs if value.name in wanted]
    samples = draft.samples or {}
    stacked = [v for v in draft.model.graph.inputs if v.name in samples and stackable(v, samples[name_of(v)])]
    firsts = [value.shape[0] for value in stacked if value.shape is not None]
    free = {size.value for size in firsts if isinstance(size, ir.SymbolicDim)} - {None}
    sizes = {name_of(value): _bytes(value, free) for value in values}
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(known) == len(names):
        return known
    one = {name: array[:1] for name, array in samples.items()}
    session = open_session(draft.model, names)
    found = session.run(names, dict(next(batches(draft.model, one)).feed))
    return {name: array.nbytes for name, array in zip(names, found, strict=True)}


def _bytes(value: ir.Value, free: Collection[str | None]) -> int | None:
    """Return how many bytes a tensor takes where a free batch is one sample; `None` where another size of it is not known."""
    if value.shape is None or value.dtype is None:
        return None
    shape = list(value.shape)
    if shape and isinstance(shape[0], ir.SymbolicDim) and shape[0].value in free:
        shape[0] = 1
    sizes = [int(size) for size in shape if isinstance(size, int)]
    return int(math.prod(sizes) * value.dtype.itemsize) if len(sizes) == len(shape) else None


class _Lane:
    """One of the two networks, with the tensors that are held."""

    def __init__(self, model: ir.Model, party: Party) -> None:
        self.parts = Parts(model)
        self._values = {v.name: v for v in (*model.graph.inputs, *(o for n in model.graph for o in n.outputs))}
        feeds = [batch.feed for batch in batches(model, party.samples, party.at_once())]
        self._held: dict[str, list[npt.NDArray[Any]]] = {name: [f[name] for f in feeds] for name in feeds[0]}

    def value(self, name: str) -> ir.Value:
        """Return a tensor of this lane's graph by name."""
        return self._values[name]

    def held(self, name: str) -> Chunks:
        """Return a tensor that is held."""
        return self._held[name]

    def compute(self, needs: Sequence[str], name: str) -> Chunks:
        """Return a tensor, computed from held ones."""
        return self._held[name] if name in self._held else self._computed(needs, [name])[0]

    def look_ahead(self, cuts: Sequence[_Cut]) -> None:
        """Hold what some cuts give, the first of which is about to be read: all are computed where that one is not held yet."""
        if cuts[0].name not in self._held:
            names = [cut.name for cut in cuts]
            needs = {need for cut in cuts for need in cut.needs}
            for name, chunks in zip(names, self._computed(sorted(needs), names), strict=True):
                self.hold(name, chunks)

    def _computed(self, needs: Sequence[str], names: Sequence[str]) -> list[Chunks]:
        inputs = [self._values[need] for need in needs if need in self._held]
        part = self.parts.between(inputs, [self._values[name] for name in names])
        return _run(part, [self._held[name_of(v)] for v in inputs])

    def hold(self, name: str, chunks: Chunks) -> None:
        """Keep a tensor for later cuts."""
        self._held[name] = list(chunks)

    def release(self, names: Sequence[str]) -> None:
        """Let go of tensors."""
        for name in names:
            self._held.pop(name, None)


def _stop(draft: Draft, node: ir.Node, cut: _Cut, wanted: tuple[Chunks, Floats], integer: _Lane) -> Stop:
    weight, twin = node.inputs[1], integer.value(cut.name).producer()
    if weight is None or twin is None or twin.inputs[0] is None or twin.inputs[1] is None:
        raise ValueError(f"{node.name} is no layer")
    read = list(dict.fromkeys(v for v in twin.inputs if v is not None and not is_constant(v)))  # a bias may be computed
    rounded = constant(twin.inputs[1])

    @functools.cache
    def fed() -> list[Chunks]:
        return [integer.compute(cut.needs, name_of(v)) for v in read]

    def run(values: Array) -> Chunks:
        if values is rounded:  # as it stands there: in one part with what lies before it
            return integer.compute(cut.needs, cut.name)
        return _run_layer(integer.parts, twin, values, read, fed())

    encoding = draft.encodings.tensors[name_of(weight)]
    return Stop(node, weight, encoding, rounded, *wanted, enter=lambda: fed()[0], run=run)


def _run_layer(parts: Parts, node: ir.Node, weight: Array, read: Sequence[ir.Value], fed: Sequence[Chunks]) -> Chunks:
    """Run one node alone, with another weight."""
    alone, name = parts.between(read, node.outputs), name_of(node.inputs[1]) if node.inputs[1] is not None else ""
    alone.graph.initializers[name].const_value = ir.tensor(weight, name=name)
    return _run(alone, fed)[0]


def _run(model: ir.Model, fed: Sequence[Chunks]) -> list[Chunks]:
    """Return each output, chunk for chunk."""
    session, names = open_session(model), [name_of(v) for v in model.graph.inputs]
    feeds = [dict(zip(names, arrays, strict=True)) for arrays in zip(*fed, strict=True)]
    run = functools.partial(session.run, None)
    found = map(run, feeds) if sum(a.nbytes for a in fed[0]) < ALONE_BYTES else in_turn(run, feeds, cores())
    return [list(chunks) for chunks in zip(*found, strict=True)]
