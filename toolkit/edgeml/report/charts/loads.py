"""Each load's p50 in the order of time: what drifts while it is measured shows here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edgeml.figures import number
from edgeml.report.charts.scales import ticks, written
from edgeml.report.look import tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT: Final = 220
LEFT, RIGHT, TOP, BOTTOM = 52, 78, 12, 46
CLOSE: Final = 18.0  # pixels between the two names at the right


def draw(loads: Sequence[tuple[str, Sequence[float], Sequence[float], float]], unit: str) -> go.Figure:
    """Draw the loads of A and B.

    Args:
        loads: For A and B the name, when each load began in seconds, each load's p50, and the p50 over all.
        unit: Of the latencies.
    """
    import plotly.graph_objects as go

    chart = go.Figure()
    order = sorted(at for _, began, _, _ in loads for at in began)
    values = [value for _, _, medians, _ in loads for value in medians]
    spread = max(values) - min(values) or 0.1 * max(values)
    low, high = max(0.0, min(values) - 0.2 * spread), max(values) + 0.2 * spread
    levels = [p50 for _, _, _, p50 in loads]
    per_unit = (HEIGHT - TOP - BOTTOM) / (high - low)
    apart = abs(levels[0] - levels[1]) * per_unit
    push = max(0.0, (CLOSE - apart) / 2)
    for (name, began, medians, p50), colour in zip(loads, ("ref", "now"), strict=True):
        above = p50 > min(levels) or (levels[0] == levels[1] and colour == "ref")
        chart.add_scatter(
            x=[order.index(at) + 1 for at in began], y=list(medians), mode="markers",
            marker={"size": 9, "color": tokens()[colour]},
            hovertemplate=f"{name}, run %{{x}}: %{{y:.4g}} {unit}<extra></extra>",
        )  # fmt: skip
        chart.add_annotation(
            x=1, xref="x domain", xanchor="left", xshift=10, y=min(max(p50, low), high), yshift=push if above else -push,
            text=f"<b>{name}, {number(p50, 2 if p50 < 10 else 1 if p50 < 100 else 0)}</b>",
            font={"color": tokens()[colour]}, showarrow=False, borderpad=0,
        )  # fmt: skip
    x_ticks = [float(t) for t in ticks(1, len(order), 6) if t == int(t) and t >= 1]
    y_ticks = ticks(low, high, 5)
    chart.update_xaxes(
        title="load, in the order of time", range=[0, len(order) + 1], tickvals=x_ticks, ticktext=written(x_ticks)
    )
    chart.update_yaxes(title=f"p50, {unit}", range=[low, high], tickvals=y_ticks, ticktext=written(y_ticks))
    chart.update_layout(margin={"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM})
    return chart
