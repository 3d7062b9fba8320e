"""What the comparison report says, all from the comparison's own figures."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from edgeml.figures import number, signed
from edgeml.report.charts.ratios import written_ratio
from edgeml_bench.comparison import Comparison, Measure, Verdict
from edgeml_bench.conditions import Conditions

PILLS: Final = {Verdict.FASTER: "ok", Verdict.SLOWER: "warn", Verdict.NO_DIFFERENCE: "same"}
MORE_IS_BETTER: Final = ("throughput",)
LONGEST_NAME: Final = 40
DRIFT: Final = 0.05  # by which the p50 may move from the first half of the loads to the second


def short_names(a: str, b: str) -> tuple[str, str]:
    """Return the shortest names that tell two files apart: candidate, file, or path.

    Example:
        >>> short_names("out/x/kws.float32.onnx", "out/x/kws.int8.onnx")
        ('float32', 'int8')
        >>> short_names("old/kws.onnx", "new/kws.onnx")
        ('old/kws.onnx', 'new/kws.onnx')
    """
    one, two = PurePath(a), PurePath(b)
    parts = one.stem.split("."), two.stem.split(".")
    if len(parts[0]) == len(parts[1]) == 2 and parts[0][0] == parts[1][0] and parts[0] != parts[1]:
        return parts[0][1], parts[1][1]
    if one.name != two.name:
        return one.name, two.name
    return a, b


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Return the status of B and its word."""
    kind = comparison.verdict
    word = "No difference found" if kind is Verdict.NO_DIFFERENCE else f"B is {kind.value}"
    return PILLS[kind], word


def beyond_p50(comparison: Comparison) -> str:
    """Return what the other figures say, beside p50: p99, then what no difference was found in."""
    found = {m.name: m for m in comparison.measures}
    said, same = [], [m.name for m in comparison.measures[3:] if m.verdict == "no difference"]
    p99 = found.get("p99 latency")
    if p99 is not None and p99.verdict == "no difference":
        same.insert(0, "p99")
    elif p99 is not None and p99.a is not None and p99.b is not None:
        unit, a, b = in_unit(p99)
        said.append(f"p99 {'falls' if p99.verdict == 'lower' else 'rises'} from {a} to {b} {unit}.")
    if same:
        listed = f"{', '.join(same[:-1])} and {same[-1]}" if len(same) > 1 else same[0]
        said.append(f"No difference was found in {listed}.")
    return " ".join(said)


def in_unit(measure: Measure) -> tuple[str, str, str]:
    """Return a measure's unit, and both figures in it."""
    known = [abs(v) for v in (measure.a, measure.b) if v is not None]
    largest = max(known, default=0.0)
    unit, factor = measure.unit, 1.0
    if unit == "us" and largest >= 1000:
        unit, factor = "ms", 1e-3
    elif unit == "ms" and largest < 1:
        unit, factor = "us", 1e3
    elif unit == "bytes":
        unit, factor = ("MB", 1e-6) if largest >= 1e6 else ("kB", 1e-3)

    def written(value: float | None) -> str:
        if value is None:
            return number(None)
        scaled = value * factor
        return number(scaled, 0 if unit == "kB" or scaled >= 100 else 1 if scaled >= 10 or unit == "MB" else 2)

    return unit, written(measure.a), written(measure.b)


def judged(measure: Measure) -> tuple[str, str]:
    """Return the status of a row and its word, B against A."""
    if measure.ratio is None:
        return "unsure", "not measured"
    direction = measure.verdict
    if direction is None:  # measured once: a size is exact, memory is no sample
        if measure.name != "size":
            return "unsure", "measured once"
        direction = "no difference" if measure.ratio == 1 else "lower" if measure.ratio < 1 else "higher"
    if direction == "no difference":
        return "same", "same" if measure.name == "size" else "no difference found"
    better = (direction == "higher") == (measure.name in MORE_IS_BETTER)
    return ("ok" if better else "warn"), _word(measure.name, direction)


def interval(measure: Measure) -> str:
    """Return a row's interval in words."""
    if measure.low is None or measure.high is None:
        return (
            "exact"
            if measure.name == "size" and measure.ratio is not None
            else "measured once"
            if measure.ratio
            else ""
        )
    return " to ".join(written_ratio(end, measure.low, measure.high) for end in (measure.low, measure.high))


def steadiness(comparison: Comparison) -> tuple[str, str]:
    """Return whether the machine was steady: a status, and a sentence with the figures that are known."""
    moves = [_drift(side.load_p50_us) for side in comparison.sides]
    moved = f"p50 moved by {signed(100 * moves[0])} % (A) and {signed(100 * moves[1])} % (B) from the first half of the loads to the second"
    steady = not comparison.notes and all(abs(m) < DRIFT for m in moves)
    if steady:
        return "ok", f"Yes: {', '.join([moved, *_known(comparison.conditions)])}."
    return "warn", f"Not quite: {moved}. {' '.join(comparison.notes)} A and B took turns, so both met the same."


def _drift(medians: tuple[float, ...]) -> float:
    half = len(medians) // 2
    if half == 0:
        return 0.0
    first, second = sorted(medians[:half]), sorted(medians[-half:])
    return second[half // 2] / first[half // 2] - 1


def _known(conditions: Conditions) -> list[str]:
    found = []
    if conditions.other_cores is not None:
        found.append(f"other programs used {conditions.other_cores:.1f} of {conditions.cores} cores")
    if conditions.temperature_c is not None:
        found.append(f"at most {conditions.temperature_c:.0f} °C")
    if conditions.clock_mhz is not None:
        found.append(f"clock {conditions.clock_mhz:,.0f} MHz or more")
    return found


def _word(name: str, direction: str) -> str:
    if "latency" in name or "time" in name or name == "first inference":
        return "faster" if direction == "lower" else "slower"
    if name == "size":
        return "smaller" if direction == "lower" else "larger"
    return "less" if direction == "lower" else "more"
