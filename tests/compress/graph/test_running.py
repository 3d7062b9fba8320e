"""Samples side by side: results in order, few waiting, an error at its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress.graph import running
from edgeml_compress.graph.running import MOST_BATCH, Feed, cores, in_turn, most_at_once, open_session, run_each


def feeds(count: int, drawn: list[int]) -> Iterator[Feed]:
    for i in range(count):
        drawn.append(i)
        yield {"x": np.asarray(i)}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_and_no_more_wait_than_work(workers: int) -> None:
    drawn: list[int] = []
    for i, found in enumerate(in_turn(lambda feed: int(feed["x"]), feeds(30, drawn), workers)):
        assert found == i and len(drawn) <= i + workers + 1


def test_workers_work_at_once() -> None:
    together = threading.Barrier(2, timeout=20)  # passes only when two are inside
    assert len(list(in_turn(lambda feed: together.wait(), feeds(4, []), 2))) == 4


def test_an_error_comes_at_its_place_and_ends_the_work() -> None:
    drawn: list[int] = []

    def run(feed: Feed) -> int:
        if feed["x"] == 3:
            raise RuntimeError("3 is broken")
        return int(feed["x"])

    got = []
    with pytest.raises(RuntimeError, match="3 is broken"):
        got.extend(found for found in in_turn(run, feeds(1000, drawn), 2))
    assert len(drawn) < 10


@pytest.mark.parametrize(("count", "threads"), [(1, 1), (2, 2), (8, 2), (40, 2)])
def test_few_samples_use_all_cores(
    count: int, threads: int, graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "cores", lambda: 2)
    together, seen = threading.Barrier(threads, timeout=20), set()

    class Session:
        def get_outputs(self) -> list[ir.Value]:
            return [ir.Value(name="y")]

        def run(self, names: list[str], feed: Feed) -> list[np.ndarray]:
            if threading.get_ident() not in seen:
                seen.add(threading.get_ident())
                together.wait()
            return [feed["x"]]

    x = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    model = graph("g (float[n, 2] x) => (float[n, 2] y) { y = Relu(x) }")
    np.testing.assert_array_equal(run_each(Session(), model, {"x": x})["y"].reshape(count, 2), x)
    assert len(seen) == threads


def test_large_weights_go_through_a_file_and_answer_the_same(
    graph: Callable[..., ir.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    w = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    model = graph("g (float[n, 64] x) => (float[n, 64] y) { y = MatMul(x, w) }", {"w": w})
    x = np.eye(64, dtype=np.float32)[:3]
    inside = open_session(model).run(None, {"x": x})[0]
    monkeypatch.setattr(running, "MOST_MESSAGE_BYTES", 1)
    assert np.array_equal(open_session(model, threads=2).run(None, {"x": x})[0], inside)


def test_there_is_a_core_at_least() -> None:
    assert cores() >= 1


@pytest.mark.parametrize(
    ("shape", "most"),
    [([0, 8, 8], MOST_BATCH), ([1, 8, 8], 1), ([1, -1, 8], 1)],
    ids=["a batch", "only one sample", "samples would run together"],
)
def test_a_free_batch_is_believed_when_samples_together_answer_as_alone(
    shape: list[int], most: int, graph: Callable[..., ir.Model]
) -> None:
    text = """g (float[n, 64] x) => (float[m, 8] y)
    { r = Reshape(x, s)  y = ReduceMean<axes = [1], keepdims = 0>(r) }"""
    samples = {"x": np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)}
    assert most_at_once(graph(text, {"s": np.array(shape)}), samples) == most


def test_equal_samples_tell_nothing_of_a_batch(graph: Callable[..., ir.Model]) -> None:
    """A network that normalizes over the batch answers equal samples together as alone."""
    text = """g (float[n, 8] x) => (float[n, 8] y) { m = ReduceMean<axes = [0], keepdims = 1>(x)  y = Sub(x, m) }"""
    rows = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    rows[[1, 5]] = rows[0]
    model = graph(text)
    assert most_at_once(model, {"x": rows}) == most_at_once(model, {"x": rows[:2]}) == 1
    assert most_at_once(graph("g (float[n, 8] x) => (float[n, 8] y) { y = Relu(x) }"), {"x": rows}) == MOST_BATCH
