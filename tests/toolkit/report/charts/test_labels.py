"""Labels keep clear of each other, of marks and of the area's edge, whatever is to be named."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from edgeml.report.charts.labels import Box, Mark, place
from edgeml.report.charts.scales import ticks, written
from edgeml.report.charts.trade_off import Point, front

AREA = Box(60, 10, 340, 290)
marks = st.lists(
    st.builds(
        Mark,
        x=st.floats(60, 340),
        y=st.floats(10, 290),
        above=st.floats(3, 60),
        below=st.floats(3, 60),
        beside=st.floats(3, 15),
        lines=st.tuples(st.sampled_from(["int8", "float32", "int8-weight-only", "x" * 18]), st.just("289 kB")),
        bold=st.booleans(),
    ),
    max_size=8,
)


@given(marks)
def test_no_label_touches_another_a_mark_or_the_edge(found: list[Mark]) -> None:
    taken = [Box(200, 270, 340, 290)]
    boxes = [p.box for p in place(found, taken, [], AREA) if p is not None]
    assert all(box.inside(AREA) for box in boxes)
    assert not any(a.touches(b) for a, b in combinations(boxes, 2))
    assert not any(box.touches(other) for box in boxes for other in [*taken, *(m.box for m in found)])


def test_a_mark_by_itself_has_its_label_above() -> None:
    (found,) = place([Mark(200, 150, 6, 6, 6, ("int8", "289 kB"))], [], [], AREA)
    assert found is not None and (found.anchor_x, found.anchor_y) == ("center", "bottom")


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 8))
@example(0.0, 1.9999999998835847, 3)  # its last tick lies within by rounding alone, and counts
def test_ticks_are_few_even_and_within(low: float, width: float, most: int) -> None:
    assume(width > 1e-6 * abs(low))  # an axis whose ends float64 tells apart well
    found = ticks(low, low + width, most)
    assert 1 <= len(found) <= most
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) + 1e-9 * abs(low) for t in found)
    assert len(set(written(found))) == len(found)


def test_the_front_holds_what_nothing_beats() -> None:
    points = [Point(n, x, y, None, None, 1) for n, x, y in (("a", 1, -2), ("b", 2, 0), ("c", 3, -1), ("d", 4, 0.5))]
    assert [p.name for p in front(points)] == ["a", "b", "d"]


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-50, 1)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_beaten_by_one_of_it(values: list[tuple[float, float]]) -> None:
    points = [Point(str(i), x, y, None, None, 1) for i, (x, y) in enumerate(values)]
    best = front(points)
    assert all(p in best or any(b.x <= p.x and b.y >= p.y for b in best) for p in points)


@pytest.mark.parametrize(("values", "texts"), [([-1.0, -0.5, 0.0], ["−1.0", "−0.5", "0"]), ([0, 1000], ["0", "1,000"])])
def test_ticks_are_written_with_a_true_minus(values: list[float], texts: list[str]) -> None:
    assert written(values) == texts
