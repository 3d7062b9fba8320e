"""The order of measuring, tried with small sessions that count what is asked of them."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_bench.rounds import BLOCK_S, orders, run_round
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.runtimes import Tensors


class Waiter:
    """A session whose inference keeps the CPU for a given time, and that notes each in a log shared by all."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def __init__(self, name: str, seconds: float, log: list[str]) -> None:
        self.name, self.seconds, self.log, self.closed = name, seconds, log, False

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        self.log.append(self.name)
        until = time.perf_counter() + self.seconds
        while time.perf_counter() < until:
            pass
        return {}

    def close(self) -> None:
        self.closed = True


@given(st.integers(1, 6), st.integers(0, 10), st.integers())
def test_each_second_round_loads_in_the_reverse_order_of_the_one_before(entrants: int, pairs: int, seed: int) -> None:
    drawn = list(orders(entrants, 2 * pairs, seed))
    assert all(sorted(order) == list(range(entrants)) for order in drawn)
    assert all(second == first[::-1] for first, second in zip(drawn[::2], drawn[1::2], strict=True))


def test_entrants_take_turns_block_by_block_forth_and_back() -> None:
    log: list[str] = []
    sessions = [Waiter("a", 0.0005, log), Waiter("b", 0.001, log)]
    loads = run_round(
        [lambda s=s: (s, {}) for s in sessions], [0, 1], seconds=4 * BLOCK_S, least=1, since=time.monotonic()
    )
    assert [load.entrant for load in loads] == [0, 1]
    assert len(loads[0].blocks) == len(loads[1].blocks) >= 2
    turns = [name for i, name in enumerate(log) if i == 0 or log[i - 1] != name]
    # a and b load (a first inference each), a and b warm up, then a, b b, a a, b b, ...: neighbours of one name are one turn
    assert turns[:4] == ["a", "b", "a", "b"]
    assert turns == ["a", "b"] * (len(turns) // 2) + ["a"] * (len(turns) % 2)
    assert all(s.closed for s in sessions)


def test_no_fewer_inferences_than_asked_are_timed_however_slow_they_are() -> None:
    slow = Waiter("slow", 0.03, [])
    (load,) = run_round([lambda: (slow, {})], [0], seconds=0.0, least=4, since=time.monotonic())
    assert len(load.times_us) >= 4
    assert load.times_us.min() >= 30_000


def test_warm_up_and_settling_are_not_timed() -> None:
    log: list[str] = []
    (load,) = run_round([lambda: (Waiter("a", 0.001, log), {})], [0], seconds=0.05, least=1, since=time.monotonic())
    assert Counter(log)["a"] > len(load.times_us) + 3


def test_sessions_are_closed_when_a_later_one_cannot_be_loaded() -> None:
    opened = Waiter("a", 0.0, [])

    def fails() -> tuple[Waiter, Tensors]:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        run_round([lambda: (opened, {}), fails], [0, 1], seconds=0.1, least=1, since=time.monotonic())
    assert opened.closed
