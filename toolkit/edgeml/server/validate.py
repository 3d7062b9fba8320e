"""What a message must be, beyond its types, before it may enter the store: finite, in range, and at one with itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from edgeml_agent.messages import Up, Window, up_topic
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.histogram import LOWEST_EXPONENT, Histogram

MOST_COUNT: Final = 1 << 53  # what every database and JSON reader takes without loss
LATEST_S: Final = 1e11  # the year 5138: a clock may be wrong, but not infinite
MOST_FEATURES: Final = 64
MOST_BINS: Final = 2048
MOST_EXPONENT: Final = 128  # float32 ends there
MOST_LOG2_US: Final = 60.0  # 36,000 years


def check(message: Up) -> None:
    """Let a message pass, or raise.

    Raises:
        EdgemlError: A number is not finite or out of range, or the parts of a window contradict each other.
    """
    for fault in (
        _window_faults(message) if isinstance(message, Window) else _report_faults(message.sequence, message.at)
    ):
        raise EdgemlError(
            fault, where=up_topic(message.device), mend="check the agent's version and the device's clock"
        )


def _report_faults(sequence: int, at: float) -> Iterator[str]:
    if sequence > MOST_COUNT:
        yield f"sequence is {sequence}, at most {MOST_COUNT}"
    if not 0 <= at <= LATEST_S:
        yield f"its time is {at}"


def _window_faults(window: Window) -> Iterator[str]:
    yield from _report_faults(window.sequence, window.ended_at)
    if not 0 <= window.began_at <= window.ended_at:
        yield f"it began at {window.began_at} and ended at {window.ended_at}"
    if window.answers > MOST_COUNT or window.errors > MOST_COUNT or window.waiting > MOST_COUNT:
        yield f"a count is above {MOST_COUNT}"
    if window.unknown > window.answers or sum(window.classes) > window.answers:
        yield f"{window.unknown} unknown and {sum(window.classes)} classes of {window.answers} answers"
    if (window.memory_bytes or 0) > MOST_COUNT or not math.isfinite(window.temperature_c or 0.0):
        yield f"memory is {window.memory_bytes} bytes, temperature {window.temperature_c} degrees"
    if len(window.features) > MOST_FEATURES or len(window.classes) > MOST_BINS * 8:
        yield f"{len(window.features)} features and {len(window.classes)} classes"
    for name, counted in {**window.features, "distance": window.distance, "confidence": window.confidence}.items():
        if not _sound(counted) or counted.total > window.answers:
            yield f"the histogram of {name[:63]!r} is none of {window.answers} answers"
    latencies = window.latency_us.log2
    if not _sound(latencies) or (latencies.counts and abs(latencies.edges).max() > MOST_LOG2_US):
        yield "the latencies are none"


def _sound(histogram: Histogram) -> bool:
    return (
        LOWEST_EXPONENT <= histogram.exponent <= MOST_EXPONENT
        and abs(histogram.first) <= MOST_COUNT
        and len(histogram.counts) <= MOST_BINS
        and all(0 <= count <= MOST_COUNT for count in histogram.counts)
    )
