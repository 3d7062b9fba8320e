"""Words, geometry and chart options: pure functions, held to their definitions."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.server.page import charts
from edgeml.server.page.views.histograms import MOST_BINS, panel
from edgeml.server.page.views.overview import ticks
from edgeml.server.page.views.pages import Page, page_number
from edgeml.server.page.views.spans import DAY, SPANS, find_span, fitting
from edgeml.server.page.views.sparkline import Frame, sparkline
from edgeml.server.page.words import ago, capital, clock, counted, duration, full_stop, joined, spelled
from edgeml_targets.contract.histogram import count_frozen, frozen, histogram

figures = st.floats(0, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (2.4, "2 s"),
        (99, "99 s"),
        (120, "2 min"),
        (5399, "90 min"),
        (2.5 * 3600, "2 h 30 min"),
        (7 * 3600, "7 h"),
        (80 * 3600, "3 d 8 h"),
        (9 * 86400, "9 d"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds).replace("\u00a0", " ") == words


def test_words_are_those_of_a_sentence() -> None:
    assert (counted(1, "device"), counted(1200, "device")) == ("1 device", "1,200 devices")
    assert (spelled(4), spelled(12)) == ("four", "12")
    assert joined(["a"]) == "a" and joined(["a", "b", "c"]) == "a, b and c"
    assert (capital("contrast has drifted"), capital("r42 on 5")) == ("Contrast has drifted", "r42 on 5")
    assert (full_stop("done"), full_stop("done."), full_stop("")) == ("done.", "done.", "")
    assert ago(None, 5.0) == "—" and clock(0.0, 86_400.0 * 3) == "1 Jan 00:00"


@given(st.lists(figures, min_size=1, max_size=50), st.one_of(st.none(), figures), st.booleans())
def test_a_small_line_and_its_limit_stay_in_their_box(values: list[float], limit: float | None, zoomed: bool) -> None:
    series = [(float(i), value) for i, value in enumerate(values)]
    line = sparkline(series, Frame(0.0, max(len(values) - 1.0, 1.0), 5.0, limit, zoomed))
    heights = [float(y) for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", line.path)]
    assert len(heights) == len(values) and all(-0.01 <= y <= 100.01 for y in heights)
    assert line.limit_y is None or 0 <= line.limit_y <= 100


def test_a_gap_in_time_is_a_gap_in_the_line() -> None:
    line = sparkline([(0, 1.0), (1, 1.0), (50, 1.0), (51, 2.0)], Frame(0, 60, gap_s=10))
    assert re.sub(r"[^ML]", "", line.path) == "MLML" and line.end == (85.0, pytest.approx(10.71, abs=0.01))


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.integers(1, 6))
def test_a_nice_range_holds_its_figures_in_few_round_steps(low: float, spread: float, steps: int) -> None:
    bottom, top, step = charts.nice_range(low, low + spread, steps)
    tolerance = 1e-6 * max(abs(low), spread, 1)
    assert bottom <= low + tolerance and top >= low + spread - tolerance
    assert round((top - bottom) / step) <= steps + 2


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=200), st.lists(st.floats(-90, 90), max_size=100))
def test_a_panel_draws_shares_of_both_sides_in_the_same_bins(then: list[float], now: list[float]) -> None:
    reference = histogram(then, bins=32)
    drawn = panel("contrast", reference, count_frozen(frozen(reference), now), (0.3, 0.2) if now else None)
    steps = [len(re.findall("H", path)) for path in (drawn.reference, drawn.now)]
    assert 1 <= steps[0] <= MOST_BINS and steps[1] == steps[0] + 1  # the filled one closes itself
    assert all(-0.01 <= float(v) <= 100 for v in re.findall(r"V([\d.-]+)", drawn.reference + drawn.now))
    assert all(-0.1 <= x <= 100.1 for x, _ in drawn.ticks)
    assert drawn.over == bool(now)


def test_a_panel_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    values = np.linspace(0, 1, 200)
    drawn = panel("noise", histogram(values, bins=32), histogram(values + 0.5, bins=32), (0.34, 0.2))
    assert drawn.told.startswith("noise: effect 0.34, threshold 0.20; now around 1")


def test_a_span_just_holds_everything_up_to_a_day() -> None:
    assert find_span(None, 0.0, 40.0) == fitting(60) and fitting(60).title == "Last 60 seconds"
    assert find_span(None, 0.0, 250.0).title == "Last 5 minutes"
    assert find_span(None, 0.0, 4 * 3600.0).title == "Last 4 hours"
    assert find_span(None, 0.0, 9e6) is DAY and find_span(None, None, 9e6) is DAY
    assert find_span("7d", 0.0, 300.0).key == "7d" and find_span("../", 0.0, 300.0).key == ""


@given(st.floats(0, 2e6))
def test_a_fitting_span_holds_its_age_and_is_at_least_half_full(age: float) -> None:
    span = find_span(None, 0.0, age)
    assert span.seconds >= min(age, DAY.seconds) * 0.99 and (
        age <= 30 or span.seconds <= max(2 * age, DAY.seconds * (age > 64_800))
    )
    assert 60 <= span.points <= 240


@given(st.sampled_from((*SPANS, fitting(60), fitting(480))), st.floats(1e9, 2e9))
def test_points_stay_put_while_time_goes_on(span: object, now: float) -> None:
    begin = span.begin(now)  # type: ignore[attr-defined]
    assert begin % span.width_s == 0 and begin + span.seconds >= now > begin + span.seconds - span.width_s - 1e-3  # type: ignore[attr-defined]
    marks = ticks(span, now, 6)  # type: ignore[arg-type]
    assert len(marks) <= 7 and all(0 <= x <= 1 for x, _ in marks)


def test_a_chart_has_what_every_chart_must_have() -> None:
    option = charts.base("Latency over time")
    assert option["animation"] is False and option["aria"]["label"]["description"] == "Latency over time"
    assert not {"legend", "toolbox"} & option.keys()
    assert charts.in_ms([(1.0, 2.0), (2.0, None)]) == [[1000.0, 2.0]]
    assert charts.grid(0, 10, left=1, right=2)["outerBoundsMode"] == "none"
    assert (charts.decimals_of(0.25), charts.decimals_of(2.0)) == (2, 0)


def test_pages_count_from_one() -> None:
    page = Page(2, 100, 150, str)
    assert (page.first, page.last) == (101, 150) and Page(1, 100, 0, str).first == 0
    assert [page_number(text) for text in (None, "", "0", "x", "7", "9" * 20)] == [1, 1, 1, 1, 7, 1]
