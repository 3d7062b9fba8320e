"""Figures read as the brief says: unit, true minus, thousands, a dash for what was not measured."""

from __future__ import annotations

import doctest

import pytest

from edgeml import figures

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (figures.number(1234.56, 1), "1,234.6"),
        (figures.number(-3, unit="ms"), f"\u22123{SPACE}ms"),
        (figures.percent(0.9764), f"97.6{SPACE}%"),
        (figures.signed(6.3), "+6.3"),
        (figures.signed(-0.4), "\u22120.4"),
        (figures.signed(0.0), "0.0"),
        (figures.kilobytes(91_839), f"92{SPACE}kB"),
        (figures.kilobytes(1_100_000), f"1.1{SPACE}MB"),
        (figures.milliseconds(84.6), f"85{SPACE}us"),
        (figures.milliseconds(1349), f"1.35{SPACE}ms"),
    ],
)
def test_figures_are_written_as_people_read_them(written: str, expected: str) -> None:
    assert written == expected


def test_what_was_not_measured_is_a_dash() -> None:
    for write in (figures.number, figures.percent, figures.signed, figures.kilobytes, figures.milliseconds):
        assert write(None) == figures.DASH


def test_the_examples_hold() -> None:
    assert doctest.testmod(figures).failed == 0
