"""The reports in a browser: nothing from the net, nothing too small, no two labels on each other, at both widths."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from results import HOSTILE, demo, everything

from edgeml.report import comparison, compression
from edgeml.report import demo as demo_report
from edgeml_bench import Comparison, compare
from edgeml_targets.target import find_target

RESULTS = everything()
LEAST_CONTRAST = 4.5
FEW = (
    "usual",
    "unlabelled",
    "long names",
    "far off",
    "many layers",
)  # that are opened at 400 px, too; the others are slow tests there
CASES = [(name, 1200) for name in RESULTS] + [
    pytest.param(name, 400, marks=() if name in FEW else pytest.mark.slow) for name in RESULTS
]


@pytest.fixture(scope="session")
def compared(tiny_cnn: Path) -> Comparison:
    """A file against itself, measured."""
    return compare(tiny_cnn, tiny_cnn, find_target("x86_64-onnxruntime"))


def check(seen: Any) -> None:
    """Hold what a browser saw to how edgeml looks."""
    assert seen.complaints == []
    assert [a for a in seen.addresses if not a.startswith(("file:", "data:", "blob:"))] == []
    found = seen.found
    assert found["small"] == []
    assert found["overlaps"] == []
    assert found["wide"] == [] and found["scrollWidth"] == found["clientWidth"]
    assert [c for c in found["contrasts"] if c["ratio"] < LEAST_CONTRAST] == []
    assert found["text"] > 20


@pytest.mark.parametrize(("name", "width"), CASES)
def test_a_compression_report_is_whole(name: str, width: int, tmp_path: Path, look: Callable[..., Any]) -> None:
    compression.write(RESULTS[name], tmp_path / "report.html")
    check(look(tmp_path / "report.html", width))


@pytest.mark.parametrize("name", ["insufficient", "long names", "many layers"])
def test_no_name_of_a_figure_breaks_on_a_phone(name: str, tmp_path: Path, browser: Any) -> None:
    """With a list of what stays in float beside it, `Candidate` stood letter by letter."""
    compression.write(RESULTS[name], tmp_path / "report.html")
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    narrow = page.evaluate(
        """[...document.querySelectorAll('td[data-name]')].filter((cell) => {
            const style = getComputedStyle(cell, '::before'), pen = document.createElement('canvas').getContext('2d');
            pen.font = style.font;
            return parseFloat(style.width) < pen.measureText(cell.dataset.name).width - 1;
        }).map((cell) => cell.dataset.name)"""
    )
    assert narrow == []
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.close()


@pytest.mark.parametrize("width", [1200, 400])
def test_a_comparison_report_is_whole(
    width: int, compared: Comparison, tmp_path: Path, look: Callable[..., Any]
) -> None:
    comparison.write(compared, tmp_path / "report.html")
    check(look(tmp_path / "report.html", width))


@pytest.mark.parametrize("width", [1200, 400])
def test_numbers_on_the_axis_of_ratios_have_room(
    width: int, compared: Comparison, tmp_path: Path, look: Callable[..., Any]
) -> None:
    """On a noisy machine the axis reaches from .9 to 1.05 and further: as many ticks as there is room for."""
    noisy = tuple(
        measure if measure.ratio is None else msgspec.structs.replace(measure, ratio=0.97, low=0.9, high=1.05)
        for measure in compared.measures
    )
    comparison.write(msgspec.structs.replace(compared, measures=noisy), tmp_path / "report.html")
    check(look(tmp_path / "report.html", width))


@pytest.mark.parametrize("width", [1200, 400])
def test_the_demo_report_is_whole(width: int, tmp_path: Path, look: Callable[..., Any]) -> None:
    demo_report.write(demo(), tmp_path / "report.html")
    check(look(tmp_path / "report.html", width))


def test_hostile_names_are_text_and_no_more(compared: Comparison, tmp_path: Path, look: Callable[..., Any]) -> None:
    compression.write(RESULTS["hostile names"], tmp_path / "one.html")
    comparison.write(msgspec.structs.replace(compared, a=HOSTILE, command=HOSTILE), tmp_path / "two.html")
    for path in (tmp_path / "one.html", tmp_path / "two.html"):
        seen = look(path, 1200)
        assert seen.complaints == []
        assert HOSTILE in re.sub(r"\s+", " ", seen.text)
        assert HOSTILE not in path.read_text()


@pytest.mark.parametrize("name", ["usual", "hostile names"])
def test_a_report_names_no_foreign_address(name: str, tmp_path: Path) -> None:
    compression.write(RESULTS[name], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    from plotly.offline import get_plotlyjs

    assert get_plotlyjs() in page  # plotly's own code names addresses, but asks for none of them: see `check`
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", page.replace(get_plotlyjs(), "")) == []
