"""The order of measuring: load every entrant anew, then time them in turns, block by block, and again.

A round
1. loads every entrant, in an order that is reversed in the next round, since the second one loaded gets another place in memory;
2. warms each up;
3. times blocks of some 10 ms in the order and then against it (A B B A), so that a trend over the round falls on all alike;
4. closes them all.

At the start of a block some inferences are not timed: the caches hold the other's weights, its threads still spin.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edgeml_bench.jobs import Load
from edgeml_targets.runtimes import Session, Tensors

BLOCK_S: Final = 0.010
SETTLE_S: Final = 0.002
WARM_UP_S: Final = 0.02
WARM_UP_INFERENCES: Final = 2
MOST_PER_LOAD: Final = 5000  # inferences of one load that are kept; more tell nothing new

Loader = Callable[[], tuple[Session, Tensors]]


def orders(entrants: int, rounds: int, seed: int) -> Iterator[list[int]]:
    """Yield the order of loading of each round: drawn anew every second round and reversed in the one after it."""
    draw = random.Random(seed)
    order = list(range(entrants))
    for number in range(rounds):
        if number % 2 == 0:
            draw.shuffle(order)
        else:
            order.reverse()
        yield list(order)


def run_round(
    loaders: Sequence[Loader], order: Sequence[int], *, seconds: float, least: int, since: float
) -> list[Load]:
    """Load every entrant, time them in turns for `seconds` and `least` inferences each, and close them.

    Args:
        loaders: One an entrant: returns a session and its inputs.
        order: In which they are loaded.
        seconds: For timing, of all entrants together.
        least: Inferences of each entrant, whatever they take.
        since: `time.monotonic()` at the job's start.
    """
    gc.collect()
    gc.disable()
    runners: dict[int, _Runner] = {}
    try:
        for entrant in order:
            runners[entrant] = _Runner(entrant, loaders[entrant], since)
        for runner in runners.values():
            runner.warm_up()
        until = time.monotonic() + seconds
        while time.monotonic() < until or any(r.timed < least for r in runners.values()):
            for entrant in (*order, *reversed(order)):
                runners[entrant].block()
            if all(r.timed >= max(MOST_PER_LOAD, least) for r in runners.values()):
                break
        return [runner.load() for runner in runners.values()]
    finally:
        for runner in runners.values():
            runner.session.close()
        gc.enable()


class _Runner:
    """One load of one entrant."""

    def __init__(self, entrant: int, loader: Loader, since: float) -> None:
        self.entrant = entrant
        self.timed = 0
        self.blocks: list[list[int]] = []
        began = time.monotonic()
        self.began_s = began - since
        self.session, self.inputs = loader()
        self.load_ms = 1e3 * (time.monotonic() - began)
        self.first_us = _time(self.session, self.inputs, 1)[0] / 1e3
        self.one_s = 0.0

    def warm_up(self) -> None:
        """Run until it is warm, and learn how long one inference takes."""
        times: list[int] = []
        until = time.monotonic() + WARM_UP_S
        while time.monotonic() < until or len(times) < WARM_UP_INFERENCES:
            times += _time(self.session, self.inputs, 1)
        self.one_s = sorted(times)[len(times) // 2] / 1e9

    def block(self) -> None:
        """Time one block; what runs before the caches are its own again is left out."""
        settle = int(SETTLE_S / self.one_s) + 1 if self.one_s < BLOCK_S else 0
        _time(self.session, self.inputs, settle)
        self.blocks.append(_time(self.session, self.inputs, max(round(BLOCK_S / self.one_s), 1)))
        self.timed += len(self.blocks[-1])

    def load(self) -> Load:
        """Return what was timed."""
        return Load(
            entrant=self.entrant,
            began_s=self.began_s,
            load_ms=self.load_ms,
            first_us=self.first_us,
            blocks=self.blocks,
        )


def _time(session: Session, inputs: Tensors, count: int) -> list[int]:
    """Return how long each of `count` inferences took, in nanoseconds."""
    run, clock, times = session.run, time.perf_counter_ns, [0] * count
    for i in range(count):
        began = clock()
        run(inputs)
        times[i] = clock() - began
    return times
