"""Names that tell two files apart, and figures in their unit."""

from __future__ import annotations

import pytest

from edgeml.report.comparison_words import in_unit, interval, judged, short_names
from edgeml_bench.comparison import Measure


@pytest.mark.parametrize(
    ("a", "b", "names"),
    [
        ("out/kws.float32.onnx", "out/kws.int8.onnx", ("float32", "int8")),
        ("kws.onnx", "out/kws.int8.onnx", ("kws.onnx", "kws.int8.onnx")),
        ("old/kws.onnx", "new/kws.onnx", ("old/kws.onnx", "new/kws.onnx")),
        ("kws.onnx", "kws.onnx", ("kws.onnx", "kws.onnx")),
        ("a.int8.onnx", "b.int8.onnx", ("a.int8.onnx", "b.int8.onnx")),
    ],
)
def test_names_are_as_short_as_tells_them_apart(a: str, b: str, names: tuple[str, str]) -> None:
    assert short_names(a, b) == names


def measure(name: str, unit: str, a: float | None, b: float | None, **rest: float | str | None) -> Measure:
    ratio = b / a if a and b is not None else None
    return Measure(name=name, unit=unit, a=a, b=b, ratio=ratio, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "written"),
    [
        (measure("p50 latency", "us", 135.2, 91.1), ("us", "135", "91.1")),
        (measure("p99 latency", "us", 8265.0, 584.0), ("ms", "8.27", "0.58")),
        (measure("load time", "ms", 0.7, 0.9), ("us", "700", "900")),
        (measure("size", "bytes", 314_749.0, 91_839.0), ("kB", "315", "92")),
        (measure("memory added", "bytes", None, 18.6e6), ("MB", "—", "18.6")),
    ],
)
def test_both_figures_of_a_row_share_a_unit(found: Measure, written: tuple[str, str, str]) -> None:
    assert in_unit(found) == written


def test_a_row_is_judged_by_what_is_better() -> None:
    lower = {"low": 0.6, "high": 0.7, "verdict": "lower"}
    assert judged(measure("p50 latency", "us", 3.0, 2.0, **lower)) == ("ok", "faster")
    assert judged(measure("throughput", "1/s", 3.0, 2.0, **lower)) == ("warn", "less")
    assert judged(measure("size", "bytes", 3.0, 2.0)) == ("ok", "smaller")
    assert judged(measure("memory added", "bytes", 3.0, 2.0)) == ("unsure", "measured once")
    assert judged(measure("memory added", "bytes", None, 2.0)) == ("unsure", "not measured")
    assert interval(measure("size", "bytes", 3.0, 2.0)) == "exact"
