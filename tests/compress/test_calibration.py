"""One pass over samples: exact extremes, merges in any order and of any split, memory that does not grow."""

from __future__ import annotations

import functools
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgeml_compress import Calibration, calibrate, prepare
from edgeml_compress.calibration import (
    BINS,
    HELD_BYTES,
    Seen,
    _Tally,
    calibrate_parts,
    merge_calibrations,
    merge_seen,
    observed,
    see,
)
from edgeml_compress.observing import COUNTED_VALUES, glimpse
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.histogram import histogram
from edgeml_targets.models import read_model

Array = npt.NDArray[np.float32]
Graph = Callable[..., ir.Model]

parts = st.lists(
    arrays(np.float32, st.integers(0, 60), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def tiny(tiny_cnn: Path) -> ir.Model:
    return prepare(read_model(tiny_cnn), where="tiny").model


@given(parts, st.data())
def test_samples_merged_in_any_order_and_tree_are_the_whole(pieces: list[Array], data: st.DataObject) -> None:
    """What is exact: extremes, counts, and the sums of each sample's extremes, of any finite float32."""
    whole = functools.reduce(merge_seen, map(see, pieces), Seen())
    shuffled = [see(pieces[i]) for i in data.draw(st.permutations(range(len(pieces))))]
    while len(shuffled) > 1:
        at = data.draw(st.integers(0, len(shuffled) - 2))
        shuffled[at : at + 2] = [merge_seen(shuffled[at], shuffled[at + 1])]
    assert shuffled[0] == whole
    values = np.concatenate(pieces)
    held = [piece for piece in pieces if piece.size]
    assert whole.counts == histogram(values, bins=BINS) and whole.samples == len(held)
    if held:
        assert (whole.low, whole.high) == (values.min(), values.max())
        assert whole.mean_low == float(sum((Fraction(float(p.min())) for p in held), Fraction()) / len(held))


def test_extremes_are_exact_although_the_histogram_counts_a_part() -> None:
    values = np.zeros(100_000, np.float32)
    values[77_777], values[3] = 9.25, -4.5
    found = see(values)
    assert (found.low, found.high) == (-4.5, 9.25)
    assert COUNTED_VALUES / 2 < found.counts.total <= COUNTED_VALUES


def test_a_value_that_is_not_finite_makes_the_tensor_unusable() -> None:
    assert not see(np.array([1.0, np.nan], np.float32)).usable
    assert not see(np.array([1.0, np.inf], np.float32)).usable
    assert not see(np.zeros(3, np.float32)).usable
    assert not see(np.zeros((2, 0), np.float32)).usable
    assert see(np.array([0.0, 1.0], np.float32)).usable


@settings(deadline=None, max_examples=10)
@given(st.data())
def test_any_split_in_any_order_gives_what_one_run_gives(tiny: ir.Model, data: st.DataObject) -> None:
    x = np.random.default_rng(0).standard_normal((12, 3, 16, 16)).astype(np.float32)
    order = data.draw(st.permutations(range(len(x))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(x) - 1), max_size=4)))
    split = [calibrate(tiny, {"x": x[np.asarray(rows)]}) for rows in np.split(np.asarray(order), cuts)]
    assert functools.reduce(merge_calibrations, split) == calibrate(tiny, {"x": x})


def test_parts_run_elsewhere_and_merge_to_the_same(tiny: ir.Model) -> None:
    x = np.random.default_rng(0).standard_normal((20, 3, 16, 16)).astype(np.float32)
    with ThreadPoolExecutor(2) as pool:
        found = calibrate_parts(tiny, [{"x": x[:3]}, {"x": x[3:12]}, {"x": x[12:]}], pool, source="s")
    assert found == calibrate(tiny, {"x": x}, source="s")


def test_every_float_tensor_is_known(tiny: ir.Model, images) -> None:  # type: ignore[no-untyped-def]
    found = calibrate(tiny, {"x": images(8)})
    assert set(found.tensors) == {"x", "conv1", "relu1", "conv2", "relu2", "pool", "flat", "logits"}
    assert list(found.tensors) == observed(tiny)
    assert found.samples == 8 and found.tensors["relu1"].low == 0


def test_what_only_a_clip_reads_has_the_range_that_the_clip_leaves(graph: Graph) -> None:
    model = prepare(
        graph(
            "g (float[n, 8] x) => (float[n, 8] z) { y = Mul(x, x) \n c = Neg(y) \n r = Relu(c) \n d = Sub(x, y) \n"
            " z = Add(r, d) }"
        ),
        where="g",
    ).model
    found = calibrate(model, {"x": np.ones((3, 8), np.float32)}).tensors
    assert found["c"] == found["r"] and found["c"].high == 0
    assert found["y"].high == 1


def test_calibrations_of_two_models_do_not_merge() -> None:
    with pytest.raises(ValueError, match="two models"):
        merge_calibrations(Calibration(source="a"), Calibration(source="b"))


def test_a_saved_calibration_is_read_again_and_another_file_is_refused(tmp_path: Path) -> None:
    found = Calibration(source="s", samples=2, tensors={"x": see(np.array([1.0, 2.0], np.float32))})
    found.save(tmp_path / "c.msgpack")
    assert Calibration.load(tmp_path / "c.msgpack") == found
    (tmp_path / "c.msgpack").write_bytes(b"noise")
    with pytest.raises(EdgemlError, match=r"c\.msgpack: no calibration"):
        Calibration.load(tmp_path / "c.msgpack")


def test_a_calibration_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    old = {"schema": "edgeml.calibration/1", "tensors": {"x": {"low": "of another kind"}}}
    (tmp_path / "c.msgpack").write_bytes(msgspec.msgpack.encode(old))
    with pytest.raises(
        EdgemlError, match=r"c\.msgpack: its schema is 'edgeml\.calibration/1', known is [^\n]*; calibrate again$"
    ):
        Calibration.load(tmp_path / "c.msgpack")


def test_a_model_without_a_float32_tensor_has_an_empty_calibration(graph: Graph) -> None:
    model = graph("t (double[b, 4] x) => (double[b, 4] y) { y = Relu(x) }")
    found = calibrate(prepare(model, where="t").model, {"x": np.ones((3, 4))}, source="hash")
    assert found == Calibration(source="hash", samples=3)


def test_what_is_clipped_twice_has_the_last_ones_range(graph: Graph) -> None:
    model = graph("t (float[b, 4] x) => (float[b, 4] y) { a = Abs(x)\n c = Relu(a)\n y = Relu(c) }")
    found = calibrate(prepare(model, where="t").model, {"x": np.float32([[1, 2, 3, 4], [0, 0, 0, 5]])}).tensors
    assert found["a"] == found["c"] == found["y"] and found["y"].high == 5


def test_many_samples_of_one_value_are_held_in_few_bytes() -> None:
    """Of 10,000 arrays of one value each, a view with its buffer takes 200 bytes and more."""
    tally = _Tally()
    tracemalloc.start()
    try:
        for value in range(10_000):
            tally.add(glimpse(np.float32([value])))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * HELD_BYTES
    assert tally.seen().counts.total == 10_000
