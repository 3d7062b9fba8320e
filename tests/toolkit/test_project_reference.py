"""`docs/reference/project-file.md` says what the schema says; `EDGEML_WRITE_DOCS=1` writes it anew."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pydantic
from pydantic_core import PydanticUndefined

from edgeml.project import Project

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "project-file.md"
HEAD = """# The project file

`edgeml.toml`, made from its schema by `tests/toolkit/test_project_reference.py`. `edgeml init` writes one that runs as it is.
A wrong key or value gets the line, the reason and the nearest right key. Paths start from the project's folder.
"""
Table = type[pydantic.BaseModel]


def tables(model: Table, path: str = "") -> Iterator[tuple[str, Table]]:
    yield path, model
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
                named = getattr(field.annotation, "__origin__", None) is dict
                yield from tables(kind, f"{path}.{name}".lstrip(".") + (".<target>" if named else ""))


def meanings(model: Table) -> dict[str, str]:
    """Return what the docstring's Args say of each field."""
    text = inspect.getdoc(model) or ""
    found: dict[str, str] = {}
    for entry in re.findall(r"^    (\w[\w, ]*: .*(?:\n {8}.*)*)", text.partition("Args:\n")[2], re.MULTILINE):
        names, _, meaning = entry.partition(": ")
        found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


def rows(model: Table) -> Iterator[str]:
    said = meanings(model)
    for name, field in model.model_fields.items():
        holds_a_table = any(
            isinstance(k, type) and issubclass(k, pydantic.BaseModel)
            for k in (field.annotation, *get_args(field.annotation))
        )
        if name == "root" or holds_a_table:
            continue
        default = "needed" if field.default is PydanticUndefined else f"`{shown(field.default)}`"
        yield f"| `{name}` | {default} | {said[name]} |"


def shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else str(value)


def test_the_page_is_what_the_schema_says() -> None:
    paths: dict[Table, list[str]] = {}
    for path, model in tables(Project):
        paths.setdefault(model, []).append(f"[{path}]" if path else "At the top")
    parts = [HEAD]
    for model, titles in paths.items():
        if lines := list(rows(model)):
            sentence = " ".join((inspect.getdoc(model) or "").partition("\n\n")[0].split())
            head = ["| key | default | meaning |", "|---|---|---|"]
            parts.append("\n".join([f"## {', '.join(titles)}", "", sentence, "", *head, *lines, ""]))
    page = "\n".join(parts)
    if os.environ.get("EDGEML_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew: EDGEML_WRITE_DOCS=1 pytest tests/toolkit/test_project_reference.py"
