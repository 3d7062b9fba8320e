"""A report: one standalone HTML page, 1200 px, light, that loads nothing from the net."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from edgeml.figures import kilobytes, milliseconds, number, percent, signed
from edgeml.report.look import SANS, font, tokens
from edgeml_targets.contract.files import write_atomic

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from edgeml_bench import Machine

TEMPLATES: Final = Path(__file__).parent / "templates"
WIDTH: Final = 1080  # of what lies between the margins of a 1200 px page
RUNTIMES: Final = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "torch": "PyTorch",
    "tensorrt": "TensorRT",
}
NARROW: Final = 368  # and of a 400 px one
MOST_CHARACTERS: Final = 110  # of a command's line


def write(path: Path, template: str, **values: Any) -> None:
    """Render `templates/<template>.html` with `values` at `path`, whole. Whatever is no markup is escaped.

    Raises:
        EdgemlError: It cannot be written.
    """
    page = _environment().get_template(f"{template}.html").render(values)
    write_atomic(path, page.encode())


def figure(chart: go.Figure, *, height: int, width: int = WIDTH, name: str, narrow: go.Figure | None = None) -> Markup:
    """Return a Plotly chart as markup: white ground, house colours and font, no controls.

    Args:
        chart: The chart; its axes' titles carry units.
        height, width: In pixels.
        name: What it shows, for readers who can't see it.
        narrow: The same for screens up to 700 px, `NARROW` wide; without it, `chart` scrolls there.
    """
    drawn = Markup('<script type="application/json" class="{}">{}</script>')
    wide = drawn.format("wide", _data(chart, width, height))
    small = drawn.format("narrow", _data(narrow, NARROW, height)) if narrow is not None else ""
    return Markup('<figure role="img" aria-label="{}"><div class="chart"></div>{}{}</figure>').format(name, wide, small)


def _data(chart: go.Figure, width: int, height: int) -> Markup:
    """Return a chart, dressed, as JSON that can stand in a page; Plotly's encoder writes `<`, `>` and `/` as escapes."""
    from plotly.io.json import to_json_plotly

    colours = tokens()
    font = {"family": SANS, "size": 12, "color": colours["text-2"]}
    chart.update_layout(
        template="none",
        width=width,
        height=height,
        showlegend=False,
        paper_bgcolor=colours["surface"],
        plot_bgcolor=colours["surface"],
        hoverlabel={"bgcolor": colours["surface"], "bordercolor": colours["line-strong"], "font": font},
        dragmode=False,
        font={**font, "color": colours["text"]},
    )
    axis = {
        "linecolor": colours["line-strong"],
        "gridcolor": colours["line"],
        "tickfont": font,
        "title": {"font": font},
        "fixedrange": True,
        "zeroline": False,
    }
    chart.update_xaxes(**axis, showgrid=False, showline=True)
    chart.update_yaxes(**axis)
    return Markup(to_json_plotly(chart.to_plotly_json()))


def at(seconds: float) -> str:
    """Return a time, seconds since 1970, as people read it: "24 November 2026, 20:15 UTC"."""
    then = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{then.day} {then:%B %Y, %H:%M} UTC"


def short_hash(sha256: str) -> str:
    """Return both ends of a hash: `9f31c0…e27a`."""
    return f"{sha256[:8]}…{sha256[-4:]}"


def machine_in_words(machine: Machine) -> str:
    """Return the machine on one line."""
    return (
        f"{machine.cpu}, {machine.cores} cores, {machine.architecture}: {', '.join(machine.features) or 'no vectors'}"
    )


def version() -> str:
    """Return our own version."""
    return importlib.metadata.version("edgeml")


def continued(command: str) -> str:
    """Return a command line that fits the page: an option a line where it is long, continued by a backslash."""
    if len(command) <= MOST_CHARACTERS:
        return command
    lines, *options = re.split(r" (?=--)", command)
    for option in options:
        last = lines.rsplit("\n", 1)[-1]
        lines += f" {option}" if len(last) + len(option) < MOST_CHARACTERS else f" \\\n    {option}"
    return lines


def with_commands(note: str) -> Markup:
    """Return a note with the command that it ends on, if any, set as code."""
    words, command, rest = re.fullmatch(r"(.*?)(edgeml [a-z]+ \S+.*?)?(\.?)", note, re.DOTALL).groups()  # type: ignore[union-attr]
    return Markup("{}<code>{}</code>{}").format(words, command, rest) if command else Markup("{}").format(note)


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
        kilobytes=kilobytes,
        milliseconds=milliseconds,
        number=number,
        percent=percent,
        signed=signed,
        at=at,
        continued=continued,
        with_commands=with_commands,
    )
    environment.globals.update(tokens=tokens, font=font, plotly_js=_plotly_js)
    return environment


def _plotly_js() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())
