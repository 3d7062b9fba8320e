"""What each layer costs alone in integers, a row a layer: a dot at its SQNR, beside it the figures and what became of it.

The quietest stands first. Of a long list the quietest are one row, a bar from the lowest to the highest of them.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgeml.figures import number
from edgeml.report.charts.labels import width_of
from edgeml.report.charts.scales import ticks, written
from edgeml.report.look import tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_ROWS: Final = 18  # layers with a row of their own; one more is for all others
ROW: Final = 26  # pixels
TOP, BOTTOM = 34, 48
NAMES: Final = 250  # pixels at most, of the names at the left
SMALL: Final = 600  # width in pixels below which names are short and the loss is left out
NAMES_SMALL: Final = 104
GAP: Final = 14
LOWEST_DB, HIGHEST_DB = -20.0, 100.0  # where the axis ends at most; what lies beyond is a triangle there
PAD_DB: Final = 4.0


@dataclass(frozen=True)
class Layer:
    """A layer's row.

    Args:
        name: Its node's name.
        sqnr_db: Of the model's outputs with this layer alone in integers.
        loss: What that costs, in words: "0.31", "1.9 %".
        form: What the chosen candidate makes of it, see `LayerForm`.
    """

    name: str
    sqnr_db: float
    loss: str
    form: str

    @property
    def computes(self) -> bool:
        """Whether it computes in integers."""
        return self.form.startswith("int") and "weight-only" not in self.form and "blocks" not in self.form


@dataclass(frozen=True)
class _Row:
    """What stands in a row, whether of one layer or of many."""

    name: str
    lowest_db: float
    highest_db: float
    figure: str
    loss: str
    form: str
    looks: str


def height(layers: Sequence[Layer]) -> int:
    """Return how high the drawing is, in pixels."""
    return TOP + BOTTOM + ROW * min(len(layers), MOST_ROWS + 1)


def draw(layers: Sequence[Layer], loss_name: str, width: int) -> go.Figure:
    """Draw the layers, quietest first as they are given, `width` pixels wide; `loss_name` is the head of their losses."""
    import plotly.graph_objects as go

    small = width < SMALL
    rows = _rows(layers)
    names = [_ending(row.name, NAMES_SMALL if small else NAMES) for row in rows]
    low, high = _ends(rows)
    chart = go.Figure()
    for i, row in enumerate(rows):
        _mark(chart, row, i, (low, high))
    columns = [("dB", [r.figure for r in rows], "right"), (loss_name, [r.loss for r in rows], "right")]
    columns = [*(columns[:1] if small else columns), ("takes", [r.form for r in rows], "left")]
    right = _columns(chart, columns)
    values = ticks(low, high, 3 if small else 6)
    chart.update_xaxes(
        title="SQNR, dB (right is quieter)" if small else "SQNR of the outputs with this layer alone in integers, dB (right is quieter)",
        range=[low, high], tickvals=values, ticktext=written(values),
    )  # fmt: skip
    chart.update_yaxes(
        range=[len(rows) - 0.5, -0.5], tickvals=list(range(len(rows))), ticktext=[html.escape(n) for n in names],
        showgrid=True, showline=False,
    )  # fmt: skip
    left = GAP + max([width_of(name) for name in names], default=0.0)
    chart.update_layout(margin={"l": left, "r": right, "t": TOP, "b": BOTTOM})
    return chart


def _rows(layers: Sequence[Layer]) -> list[_Row]:
    own = layers if len(layers) <= MOST_ROWS + 1 else layers[-MOST_ROWS:]
    others = layers[: len(layers) - len(own)]
    rows = [_Row(a.name, a.sqnr_db, a.sqnr_db, number(a.sqnr_db, 1), a.loss, a.form, _looks(a)) for a in own]
    if not others:
        return rows
    lowest, highest = others[-1].sqnr_db, others[0].sqnr_db
    (most, _), *more = Counter(a.form for a in others).most_common()
    form = f"mostly {most}" if more else most
    name = f"{len(others)} quieter layers"
    return [_Row(name, lowest, highest, f"≥ {number(lowest, 1)}", "", form, "many"), *rows]


def _looks(layer: Layer) -> str:
    return "integers" if layer.computes else "float" if layer.form == "float32" else "stored"


def _ends(rows: Sequence[_Row]) -> tuple[float, float]:
    low, high = min(r.lowest_db for r in rows), max(r.highest_db for r in rows)
    return max(low - PAD_DB, LOWEST_DB), max(min(high + PAD_DB, HIGHEST_DB), LOWEST_DB + 2 * PAD_DB)


def _mark(chart: go.Figure, row: _Row, i: int, ends: tuple[float, float]) -> None:
    """Draw a row's dot: filled where the layer computes in integers, a ring where it is only stored smaller, grey in float."""
    colours = tokens()
    hover = f"<b>{html.escape(row.name)}</b><br>{row.figure} dB<br>{html.escape(row.form)}<extra></extra>"
    lowest, highest = (min(max(end, ends[0]), ends[1]) for end in (row.lowest_db, row.highest_db))
    if row.looks == "many":
        line = {"color": colours["now-soft"], "width": 8}
        chart.add_scatter(x=[lowest, highest], y=[i, i], mode="lines", line=line, hovertemplate=hover)
        return
    colour = colours["ref" if row.looks == "float" else "now"]
    off = "triangle-left" if lowest > row.lowest_db else "triangle-right" if lowest < row.lowest_db else "circle"
    chart.add_scatter(
        x=[lowest], y=[i], mode="markers", cliponaxis=False, hovertemplate=hover,
        marker={
            "symbol": off,
            "size": 10,
            "color": colours["surface"] if row.looks == "stored" else colour,
            "line": {"color": colour, "width": 1.5},
            "opacity": 1,
        },
    )  # fmt: skip


def _columns(chart: go.Figure, columns: Sequence[tuple[str, Sequence[str], str]]) -> float:
    """Write columns of words to the right of the plot, each under its head; return how wide they are."""
    at = float(GAP)
    words: list[
        dict[str, Any]
    ] = []  # set together: `add_annotation` checks all that are there anew, which takes a second
    for head, cells, side in columns:
        wide = max(width_of(text) for text in (head, *cells)) + 2
        x = at + wide if side == "right" else at
        place: dict[str, Any] = {
            "x": 1,
            "xref": "x domain",
            "xanchor": side,
            "xshift": x,
            "showarrow": False,
            "borderpad": 0,
        }
        font = {"color": tokens()["text-2"]}
        above = {"y": 1, "yref": "y domain", "yanchor": "bottom", "yshift": 6, "font": font}
        words.append({"text": html.escape(head), **above, **place})
        words += [{"text": html.escape(text), "y": i, "yref": "y", **place} for i, text in enumerate(cells) if text]
        at += wide + GAP
    chart.update_layout(annotations=words)
    return at


def _ending(name: str, most: float) -> str:
    """Return a name's end that is at most so many pixels wide: the names of one network begin alike."""
    if width_of(name) <= most:
        return name
    return next(f"…{name[i:]}" for i in range(1, len(name) + 1) if width_of(f"…{name[i:]}") <= most)
