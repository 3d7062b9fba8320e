"""Where labels stand in a chart: beside their mark, on none of the others. Boxes are in pixels, y grows downwards."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgeml.report.look import STATIC

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SIZE: Final = 12
LINE: Final = 1.3 * SIZE  # Plotly's own line height
BOLDER: Final = 1.07  # how much wider bold letters are
GAP: Final = 5.0
LONGEST: Final = 18  # characters of a name


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        """Tell whether two rectangles share a point."""
        apart = self.right < other.left or other.right < self.left
        return not (apart or self.bottom < other.top or other.bottom < self.top)

    def inside(self, area: Box) -> bool:
        """Tell whether it lies within an area."""
        wide = area.left <= self.left and self.right <= area.right
        return wide and area.top <= self.top and self.bottom <= area.bottom


@dataclass(frozen=True)
class Mark:
    """A mark with its label.

    Args:
        x, y: The mark's centre.
        above, below, beside: How far the mark reaches from there, its interval with it.
        lines: The label.
        bold: Whether the first line is.
    """

    x: float
    y: float
    above: float
    below: float
    beside: float
    lines: tuple[str, ...]
    bold: bool = False

    @property
    def box(self) -> Box:
        """The mark's own rectangle."""
        return Box(self.x - self.beside, self.y - self.above, self.x + self.beside, self.y + self.below)


@dataclass(frozen=True)
class Place:
    """Where a label stands: its offset from the mark, and which of its edges is there, in Plotly's words."""

    box: Box
    shift_x: float
    shift_y: float
    anchor_x: str
    anchor_y: str


def place(marks: Sequence[Mark], taken: Sequence[Box], lines: Sequence[Box], area: Box) -> list[Place | None]:
    """Return a place for each mark's label, the first that is free of four, then of four corners; `None` where none is.

    Args:
        marks: The most important first.
        taken: What no label may touch, beside the marks themselves.
        lines: What a label touches only where it can't help it.
        area: Where labels may stand.
    """
    marked = [mark.box for mark in marks]
    blocked, found = list(taken), list[Place | None]()
    for mark in marks:
        places = [p for p in _places(mark) if p.box.inside(area) and not _hit(p.box, [*blocked, *marked])]
        best = next((p for p in places if not _hit(p.box, lines)), places[0] if places else None)
        found.append(best)
        if best is not None:
            blocked.append(best.box)
    return found


def width_of(text: str, *, bold: bool = False) -> float:
    """Return how wide a text is, in pixels at 12 px."""
    return float(_font().getlength(text)) * (BOLDER if bold else 1.0)


def shortened(name: str, longest: int = LONGEST) -> str:
    """Return a name of at most so many characters.

    Example:
        >>> shortened("quantized-by-hand", 12)
        'quantized-b…'
    """
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _places(mark: Mark) -> list[Place]:
    width = max(width_of(line, bold=mark.bold) for line in mark.lines)
    height = LINE * len(mark.lines)
    near = mark.beside + 1
    up, down, side = mark.above + GAP, mark.below + GAP, mark.beside + GAP

    def stand(left: float, top: float, x: float, y: float, anchors: tuple[str, str]) -> Place:
        return Place(Box(left, top, left + width, top + height), x, y, *anchors)

    return [
        stand(mark.x - width / 2, mark.y - up - height, 0, up, ("center", "bottom")),
        stand(mark.x + side, mark.y - height / 2, side, 0, ("left", "middle")),
        stand(mark.x - width / 2, mark.y + down, 0, -down, ("center", "top")),
        stand(mark.x - side - width, mark.y - height / 2, -side, 0, ("right", "middle")),
        stand(mark.x - near - width, mark.y - near - height, -near, near, ("right", "bottom")),
        stand(mark.x - near - width, mark.y + near, -near, -near, ("right", "top")),
        stand(mark.x + near, mark.y - near - height, near, near, ("left", "bottom")),
        stand(mark.x + near, mark.y + near, near, -near, ("left", "top")),
    ]


def _hit(box: Box, others: Sequence[Box]) -> bool:
    return any(box.touches(other) for other in others)


@functools.cache
def _font() -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(STATIC / "inter.woff2", SIZE)
