"""Runs become one array an output, or none where their shapes differ."""

from __future__ import annotations

import numpy as np

from edgeml_bench.stacking import concatenate, stack


def test_runs_of_one_shape_are_stacked_in_order() -> None:
    found = stack([{"y": np.full(2, i)} for i in range(3)])
    assert found["y"].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_the_last_batch_may_be_smaller_where_runs_are_joined() -> None:
    runs = [{"y": np.zeros((4, 2)), "z": np.zeros((4, 3))}, {"y": np.zeros((1, 2)), "z": np.zeros((1, 5))}]
    assert {name: array.shape for name, array in concatenate(runs).items()} == {"y": (5, 2)}
    assert stack(runs) == {}


def test_what_a_later_run_lacks_is_left_out() -> None:
    assert list(concatenate([{"y": np.zeros(1), "z": np.zeros(1)}, {"y": np.zeros(2)}])) == ["y"]
