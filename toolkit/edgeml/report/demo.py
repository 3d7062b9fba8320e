"""The demo's report: what the agents answered, what was made, and how each gate judged."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeml.demo.result import Demo
from edgeml.figures import percent
from edgeml.report import document
from edgeml.report.look import tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go

KINDS: Final = {"pass": "ok", "fail": "bad", "insufficient": "unsure", "waived": "warn", "pending": "unsure"}

BESIDE, BELOW = "beside", "below"


def title(demo: Demo) -> str:
    """Return the demo's outcome in one sentence, from its figures."""
    clean, corrupted, recovered = (percent(s.share) for s in demo.scenes)
    return f"Accuracy fell from {clean} to {corrupted} under corruption and came back to {recovered} with {demo.release_after}"


def write(demo: Demo, path: Path) -> None:
    """Write the demo's report at `path`, whole.

    Raises:
        EdgemlError: It cannot be written.
    """
    from edgeml_bench import machine

    here = machine()
    document.write(
        path,
        "demo",
        title=title(demo),
        kind="Demo report",
        subject="MNIST-5k, resnet8",
        made_at=time.time(),
        charts=True,
        demo=demo,
        chart=document.figure(_chart(demo, BESIDE), height=220, name=title(demo), narrow=_chart(demo, BELOW)),
        kinds=KINDS,
        made_with=[
            ("Machine", f"{here.cpu}, {here.cores} cores"),
            ("CPU features", ", ".join(here.features) or "—"),
            ("Python", platform.python_version()),
            ("Fleet page", demo.page),
        ],
    )


def _chart(demo: Demo, figures: str) -> go.Figure:
    """Draw a row a scene with its interval: the champion grey, the challenger blue, the clean level dashed and named.

    The figures stand `BESIDE` the plot, or on small screens `BELOW` the scenes' names.
    """
    import plotly.graph_objects as go

    colours = tokens()
    chart = go.Figure()
    for scene in demo.scenes:
        share = 100 * scene.share
        colour = colours["now" if scene.release == demo.release_after else "ref"]
        chart.add_scatter(
            x=[share],
            y=[f"{scene.name}, {scene.release}"],
            mode="markers",
            marker={"size": 13, "color": colour},
            error_x={
                "array": [100 * scene.high - share],
                "arrayminus": [share - 100 * scene.low],
                "color": colour,
                "thickness": 1.5,
                "width": 4,
            },
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
        if figures == BELOW:
            continue
        chart.add_annotation(
            x=1,
            xref="x domain",
            xanchor="left",
            xshift=16,
            y=f"{scene.name}, {scene.release}",
            text=f"<b>{share:.1f} %</b>  {100 * scene.low:.1f} to {100 * scene.high:.1f}",
            font={"size": 13, "color": colour},
            showarrow=False,
        )
    clean = 100 * demo.scenes[0].share
    chart.add_vline(x=clean, line={"color": colours["text-2"], "dash": "dash", "width": 1})
    chart.add_annotation(
        x=clean,
        y=1.02,
        yref="paper",
        yanchor="bottom",
        xanchor="right",
        text="clean",
        font={"color": colours["text-2"]},
        showarrow=False,
    )
    chart.update_xaxes(title="right answers, %", range=[0, 101])
    rows = [f"{s.name}, {s.release}" for s in demo.scenes]
    said = [f"{row}<br>{percent(s.share)}" for row, s in zip(rows, demo.scenes, strict=True)]
    chart.update_yaxes(autorange="reversed", showgrid=True)
    chart.update_yaxes(tickvals=rows, ticktext=said if figures == BELOW else rows)
    chart.update_layout(margin={"l": 110, "r": 190 if figures == BESIDE else 12, "t": 24, "b": 44})
    return chart
