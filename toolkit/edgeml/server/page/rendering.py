"""HTML from view models: Jinja templates that escape whatever they are given, a file a page, a macro a part."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

from edgeml.server.page.icons import icon, square
from edgeml.server.page.views.rollouts import devices_in_words
from edgeml.server.page.words import capital

TEMPLATES = Path(__file__).parent / "templates"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(capital=capital)
    environment.globals.update(icon=icon, square=square, devices_in_words=devices_in_words)
    return environment


@functools.cache
def _module(template: str) -> jinja2.environment.TemplateModule:
    return _environment().get_template(f"{template}.html").module


def render(template: str, part: str, *values: object) -> str:
    """Return a part of a page: the macro `part` of `templates/<template>.html`, called with `values`.

    Raises:
        AttributeError: The template has no such part.
        jinja2.UndefinedError: It names something that its values do not have.
    """
    return str(getattr(_module(template), part)(*values)).strip()
