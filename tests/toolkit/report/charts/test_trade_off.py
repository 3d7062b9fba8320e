"""A panel shows what it has to: the budget, and the whole interval of what is taken."""

from __future__ import annotations

from edgeml.report.charts.trade_off import FAR, Axes, Point, y_range

AXES = Axes("p50", "points", limit=-1.0, limit_name="budget", top=0.0, x_high=None, largest_bytes=1, decimals=1)


def point(name: str, y: float, low: float, high: float) -> Point:
    return Point(name=name, x=1.0, y=y, low=low, high=high, size_bytes=1)


def test_the_lower_end_of_an_interval_is_seen_as_its_upper_end_is() -> None:
    low, high = y_range([point("int8", 0.0, -3.7, 3.7)], AXES)
    assert low < -3.7 and high > 3.7


def test_what_lies_far_below_the_budget_does_not_press_the_others_together() -> None:
    near, far = point("int8", -0.2, -0.5, 0.1), point("int8-dynamic", -40.0, -45.0, -35.0)
    low, _ = y_range([near, far], AXES)
    assert -(FAR + 2) < low < -FAR
