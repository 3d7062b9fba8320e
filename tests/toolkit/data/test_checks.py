from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.data.checks import Expectations, check, expect, expectations_file, record, recorded
from edgeml.data.describe import Column, Counter, Description, count_contents, digests_of
from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError

DESCRIPTION = Description(
    samples=100,
    shape=(2,),
    dtype="float32",
    low=0.0,
    high=10.0,
    mean=5.0,
    ranges=(Column("width", 0.0, 10.0, 5.0, 1.0), Column("height", 2.0, 4.0, 3.0, 1.0)),
    missing=0,
    duplicates=2,
    conflicts=0,
    straddling=0,
    classes={"cat": 60, "dog": 40},
    splits={},
)
EXPECTED = expect(DESCRIPTION)


def failed(expected: Expectations = EXPECTED, **changed: Any) -> dict[str, str]:
    found = msgspec.structs.replace(DESCRIPTION, **changed)
    return {c.name: c.value for c in check(found, expected, least_per_class=20) if not c.holds}


def test_a_dataset_holds_against_what_was_recorded_from_it() -> None:
    assert failed() == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shape": (3,)}, {"schema": "3 float32"}),
        ({"dtype": "float64"}, {"schema": "2 float64"}),
        ({"classes": {"cat": 60, "dog": 40, "cow": 30}}, {"classes": "new: cow"}),
        ({"ranges": (Column("width", -5.1, 10.0, 5.0, 1.0),)}, {"range": "width -5.1 to 10"}),
        ({"missing": 1}, {"missing": "1 values, 0.50%"}),
        ({"duplicates": 6}, {"duplicates": "6 samples, 6.00%"}),
        ({"conflicts": 2}, {"contradictions": "2 samples, 2.00%"}),
        ({"straddling": 1}, {"splits apart": "1 contents in two splits"}),
        ({"classes": {"cat": 81, "dog": 19}}, {"samples a class": "19 of class dog", "class balance": "class dog: 19.0% of samples"}),
    ],
    ids=lambda value: next(iter(value)),
)  # fmt: skip
def test_each_check_finds_its_fault_and_no_other(changed: dict[str, Any], said: dict[str, str]) -> None:
    assert failed(**changed) == said


def test_a_class_that_is_gone_fails() -> None:
    assert failed(classes={"cat": 100}).keys() == {"classes", "class balance"}


def test_more_of_the_same_kind_holds() -> None:
    wider = (Column("width", -4.9, 14.9, 5.0, 1.0), Column("height", 1.1, 4.9, 3.0, 1.0))
    assert failed(ranges=wider, samples=200, duplicates=10, classes={"cat": 130, "dog": 70}) == {}


def test_expectations_are_kept_as_people_change_them(project: Project) -> None:
    assert recorded(project) is None
    record(project, EXPECTED)
    assert recorded(project) == EXPECTED
    file = expectations_file(project)
    file.write_text(file.read_text().replace('"duplicate_share": 0.05', '"duplicate_share": 0.5'))
    changed = recorded(project)
    assert changed is not None and failed(changed, duplicates=40) == {}


@pytest.mark.parametrize("content", [b"", b"{", b'{"shape": "x"}', b"\xff"])
def test_damaged_expectations_are_told(content: bytes, project: Project) -> None:
    file = expectations_file(project)
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(EdgemlError, match=r"expectations\.json: no expectations: .*; correct it, or delete it"):
        recorded(project)


values = st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), min_size=1, max_size=30)


@given(values, values)
def test_two_batches_count_like_one(left: list[list[float]], right: list[list[float]]) -> None:
    one, two = Counter(["a", "b"]), Counter(["a", "b"])
    one.count(np.array(left + right, np.float32))
    two.count(np.array(left, np.float32))
    two.count(np.array(right, np.float32))
    for whole, merged in zip(one.columns(), two.columns(), strict=True):
        assert (whole.low, whole.high) == (merged.low, merged.high)
        scale = max(abs(whole.low), abs(whole.high), 1.0)
        assert abs(whole.mean - merged.mean) <= 1e-9 * scale and abs(whole.deviation - merged.deviation) <= 1e-6 * scale


def test_contents_with_two_marks_are_counted_once_each() -> None:
    digests = digests_of(np.array([[1], [1], [1], [2], [2], [3]], np.uint8))
    assert count_contents(digests, np.array([0, 1, 2, 5, 5, 5])) == 1
