"""Integers of weights are made once a tensor and encoding, and go when the tensor does."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_targets.contract.encodings import symmetric
from edgeml_targets.exporters import rounded
from edgeml_targets.exporters.rounded import integers_of

VALUES = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)


def weight() -> ir.Value:
    return ir.Value(name="w", const_value=ir.tensor(VALUES.copy(), name="w"))


def test_they_are_what_the_encoding_gives_made_once_and_not_to_be_written_into() -> None:
    value, encoding = weight(), symmetric(np.abs(VALUES).max(axis=1), axis=0)
    found = integers_of(value, encoding)
    np.testing.assert_array_equal(found, encoding.quantize(VALUES))
    assert integers_of(value, symmetric(np.abs(VALUES).max(axis=1), axis=0)) is found
    assert integers_of(value, symmetric(3.0)) is not found
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0


def test_another_tensor_under_the_same_value_is_another_weight() -> None:
    value, encoding = weight(), symmetric(3.0)
    before = integers_of(value, encoding)
    value.const_value = ir.tensor(-VALUES, name="w")
    np.testing.assert_array_equal(integers_of(value, encoding), -before)


def test_no_more_are_kept_than_may_be_and_none_of_a_tensor_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = rounded._Kept()
    monkeypatch.setattr(rounded, "MOST_BYTES", 3 * VALUES.size)
    tensors = [ir.tensor(VALUES + i) for i in range(4)]
    made = [weakref.ref(kept.of(tensor, symmetric(3.0))) for tensor in tensors]
    gc.collect()
    assert [ref() is not None for ref in made] == [False, False, False, True]
    del tensors
    gc.collect()
    assert made[3]() is None


def test_a_weight_that_is_larger_than_all_that_may_be_kept_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, tensor, encoding = rounded._Kept(), ir.tensor(VALUES), symmetric(3.0)
    monkeypatch.setattr(rounded, "MOST_BYTES", VALUES.size - 1)
    made = weakref.ref(kept.of(tensor, encoding))
    gc.collect()
    assert made() is None
    np.testing.assert_array_equal(kept.of(tensor, encoding), encoding.quantize(VALUES))


def test_what_is_no_initializer_is_refused() -> None:
    with pytest.raises(ValueError, match="w is no initializer"):
        integers_of(ir.Value(name="w"), symmetric(3.0))
