"""A report: one standalone HTML page, 1200 px, light, that loads nothing from the net."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from edgeml.figures import kilobytes, milliseconds, number, percent, signed
from edgeml.report.look import font, tokens
from edgeml_targets.contract.files import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

TEMPLATES: Final = Path(__file__).parent / "templates"
WIDTH: Final = 1080  # of what lies between the margins of a 1200 px page


def write(path: Path, template: str, **values: Any) -> None:
    """Render `templates/<template>.html` with `values` at `path`, whole. Whatever is no markup is escaped.

    Raises:
        EdgemlError: It cannot be written.
    """
    page = _environment().get_template(f"{template}.html").render(values)
    write_atomic(path, page.encode())


def figure(chart: go.Figure, *, height: int, width: int = WIDTH, name: str) -> Markup:
    """Return a Plotly chart as markup: white ground, house colours and font, no controls.

    Args:
        chart: The chart; its axes' titles carry units.
        height, width: In pixels.
        name: What it shows, for readers who can't see it.
    """
    colours = tokens()
    axis = {
        "linecolor": colours["line-strong"],
        "gridcolor": colours["line"],
        "zerolinecolor": colours["line"],
        "tickfont": {"size": 12, "color": colours["text-2"]},
        "title": {"font": {"size": 12, "color": colours["text-2"]}},
    }
    chart.update_layout(
        template="none",
        width=width,
        height=height,
        showlegend=False,
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": '"Inter Variable", Roboto, system-ui, sans-serif', "size": 12, "color": colours["text"]},
    )
    chart.update_xaxes(**axis, showgrid=False, showline=True, zeroline=False)
    chart.update_yaxes(**axis)
    drawn = chart.to_html(
        full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "staticPlot": False}
    )
    return Markup('<figure role="img" aria-label="{}">{}</figure>').format(name, Markup(drawn))


def at(seconds: float) -> str:
    """Return a time, seconds since 1970, as people read it: "24 November 2026, 20:15 UTC"."""
    then = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{then.day} {then:%B %Y, %H:%M} UTC"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        kilobytes=kilobytes, milliseconds=milliseconds, number=number, percent=percent, signed=signed, at=at
    )
    environment.globals.update(tokens=tokens, font=font, plotly_js=_plotly_js)
    return environment


def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
