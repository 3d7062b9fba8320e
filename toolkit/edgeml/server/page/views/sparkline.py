"""The geometry of a small line: a series in a box of 100 by 100, y downward, as SVG wants it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HEADROOM: Final = 0.12  # of the range: a line or limit does not touch the upper edge
NAME_ROOM: Final = 0.36  # of the height: what a line of text takes
LEAST_RANGE: Final = 1e-9


@dataclass(frozen=True)
class Frame:
    """What a line is drawn in.

    Args:
        begin, end: The span of time, seconds since 1970.
        gap_s: Points farther apart than this are not joined.
        limit: What the figures are held against, in their unit; it is always within the box.
        zoomed: Leave out what lies far below; else the box begins at 0.
    """

    begin: float
    end: float
    gap_s: float
    limit: float | None = None
    zoomed: bool = False


@dataclass(frozen=True)
class Line:
    """A drawn line.

    Args:
        path: SVG path data, a run per stretch without a gap.
        limit_y: The limit's height from above.
        end: The newest point, (x, y).
        below: Whether the line runs below the limit, so that the limit's name goes above it.
    """

    path: str
    limit_y: float | None
    end: tuple[float, float] | None
    below: bool


def sparkline(series: Sequence[tuple[float, float]], frame: Frame) -> Line:
    """Draw (time, figure) pairs, oldest first, into a frame."""
    figures = [figure for _, figure in series] + ([] if frame.limit is None else [frame.limit])
    high, low = max(figures, default=1.0), min(figures, default=0.0) if frame.zoomed else 0.0
    room = max(high - low, LEAST_RANGE) * HEADROOM
    high, low = high + room, low - room if frame.zoomed else low
    middle = sorted(figure for _, figure in series)[len(series) // 2] if series else 0.0
    below = frame.limit is None or middle <= frame.limit
    if frame.limit is not None and below and not frame.zoomed:
        high = max(high, frame.limit / (1 - NAME_ROOM))  # the limit's name stands above it
    if frame.limit is not None and not below:
        low = min(low, frame.limit - (high - frame.limit) * NAME_ROOM / (1 - NAME_ROOM))  # and here below it

    def place(at: float, figure: float) -> tuple[float, float]:
        return 100 * (at - frame.begin) / (frame.end - frame.begin), 100 * (high - figure) / max(
            high - low, LEAST_RANGE
        )

    path, before = [], None
    for at, figure in series:
        x, y = place(at, figure)
        joined = before is not None and at - before <= frame.gap_s
        path.append(f"{'L' if joined else 'M'}{x:.2f} {y:.2f}")
        before = at
    return Line(
        "".join(path),
        None if frame.limit is None else place(frame.begin, frame.limit)[1],
        place(*series[-1]) if series else None,
        below,
    )
