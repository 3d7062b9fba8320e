"""One pass over samples: exact extremes, merges in any order, memory that does not grow."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import edgeml_compress.calibration as calibration
from edgeml_compress import Calibration, calibrate, prepare
from edgeml_compress.calibration import Seen, merge_calibrations, merge_seen, observed, see
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.models import read_model

parts = st.lists(
    arrays(np.float32, st.integers(0, 60), elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=5
)


@given(parts, st.randoms(use_true_random=False))
def test_parts_merged_in_any_order_are_the_whole(pieces, rng) -> None:  # type: ignore[no-untyped-def]
    whole = see(np.concatenate(pieces), 1)
    rng.shuffle(pieces)
    assert functools.reduce(merge_seen, (see(piece, 1) for piece in pieces), Seen()) == whole


def test_extremes_are_exact_although_the_histogram_counts_a_part() -> None:
    values = np.zeros(100_000, np.float32)
    values[77_777], values[3] = 9.25, -4.5
    found = see(values, 1)
    assert (found.low, found.high) == (-4.5, 9.25)
    assert found.counts.total <= calibration.COUNTED_VALUES


def test_a_value_that_is_not_finite_makes_the_tensor_unusable() -> None:
    assert not see(np.array([1.0, np.nan], np.float32), 1).usable
    assert not see(np.zeros(3, np.float32), 1).usable
    assert see(np.array([0.0, 1.0], np.float32), 1).usable


def test_two_halves_give_what_one_run_gives(tiny_cnn: Path, images) -> None:  # type: ignore[no-untyped-def]
    model = prepare(read_model(tiny_cnn), where="tiny").model
    x = images(64)
    first, second = (calibrate(model, {"x": part}) for part in (x[:32], x[32:]))
    assert merge_calibrations(second, first) == calibrate(model, {"x": x})


def test_every_float_tensor_is_observed(tiny_cnn: Path, images) -> None:  # type: ignore[no-untyped-def]
    model = prepare(read_model(tiny_cnn), where="tiny").model
    found = calibrate(model, {"x": images(8)})
    assert (
        set(found.tensors)
        == {"x", "conv1", "relu1", "conv2", "relu2", "pool", "flat", "logits"}
        == set(observed(model))
    )
    assert found.samples == 8 and found.tensors["relu1"].low == 0


def test_calibrations_of_two_models_do_not_merge() -> None:
    with pytest.raises(ValueError, match="two models"):
        merge_calibrations(Calibration(source="a"), Calibration(source="b"))


def test_a_saved_calibration_is_read_again_and_another_file_is_refused(tmp_path: Path) -> None:
    found = Calibration(source="s", samples=2, tensors={"x": see(np.array([1.0, 2.0], np.float32), 1)})
    found.save(tmp_path / "c.msgpack")
    assert Calibration.load(tmp_path / "c.msgpack") == found
    (tmp_path / "c.msgpack").write_bytes(b"noise")
    with pytest.raises(EdgemlError, match=r"c\.msgpack: no calibration"):
        Calibration.load(tmp_path / "c.msgpack")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 70))
def test_the_batch_is_bounded_in_bytes(count: int) -> None:
    """However many samples, no batch's activations are more than `BATCH_BYTES`, but one sample always runs."""

    class Session:
        def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [np.zeros(calibration.BATCH_BYTES // 4, np.uint8)]

    import onnx_ir as ir

    x = ir.Value(name="x", shape=ir.Shape(["n", 3]), type=ir.TensorType(ir.DataType.FLOAT))
    model = ir.Model(ir.Graph([x], [], nodes=[]), ir_version=8)
    samples = {"x": np.zeros((count, 3), np.float32)}
    assert calibration._batch_size(Session(), model, samples) == 4
