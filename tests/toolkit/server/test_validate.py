"""Nothing enters the store that it, or the page, could choke on."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.server.store import Store, _window_row
from edgeml.server.validate import check
from edgeml_agent.messages import Report, Window, decode_up, encode
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.histogram import Histogram
from edgeml_targets.contract.latencies import Latencies

HUGE = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ended_at": math.nan},
        {"ended_at": math.inf},
        {"began_at": 5000.0},
        {"sequence": 2**60},
        {"unknown": 121},
        {"classes": (121,)},
        {"answers": 10},
        {"memory_bytes": 2**62},
        {"temperature_c": math.nan},
        {"distance": Histogram(0, 0, (-5, 10))},
        {"confidence": Histogram(10**9, 0, (1,))},
        {"confidence": Histogram(0, 2**62, (1,))},
        {"latency_us": Latencies(Histogram(100, 1, (1,)))},
        {"features": {str(i): Histogram() for i in range(65)}},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}",
)
def test_a_window_that_cannot_be_is_refused_and_its_device_named(world: Any, wrong: dict[str, Any]) -> None:
    check(world.window())
    with pytest.raises(EdgemlError, match="edgeml/line-b-07/up: "):
        check(msgspec.structs.replace(world.window(), **wrong))


@given(
    at=FLOATS,
    sequence=st.integers(0, 2**63 - 1),
    exponent=HUGE,
    first=HUGE,
    counts=st.lists(HUGE, max_size=5),
    more=FLOATS,
)
def test_what_passes_can_be_stored_and_read_whatever_was_sent(
    at: float, sequence: int, exponent: int, first: int, counts: list[int], more: float
) -> None:
    hostile = Histogram(exponent, first, tuple(counts))
    window = Window(
        device="d",
        boot="b",
        sequence=sequence,
        began_at=0.0,
        ended_at=at,
        release="r1",
        target="t",
        answers=max(min(sum(counts), 2**62), 0),
        unknown=0,
        errors=0,
        classes=(),
        features={"x": hostile},
        distance=hostile,
        confidence=hostile,
        latency_us=Latencies(hostile),
        temperature_c=more,
    )
    try:
        received = decode_up(encode(window), topic="edgeml/d/up")
        check(received)
    except EdgemlError:
        return
    assert isinstance(received, Window)
    row = _window_row(received, 1.0)
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
    assert all(abs(value) <= 2**53 for value in row.values() if isinstance(value, int))


def test_a_report_from_the_end_of_time_is_refused(store: Store, world: Any) -> None:
    report: Report = msgspec.structs.replace(world.report(), at=math.inf)
    with pytest.raises(EdgemlError, match="its time is inf"):
        check(report)
