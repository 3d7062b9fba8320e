"""`docs/reference/project-file.md` explains every key; `EDGEML_WRITE_DOCS=1` writes it anew from the models' docstrings."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pydantic

from edgeml import project

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "project-file.md"
HEAD = """# The project file `edgeml.toml`

Made from the docstrings of `toolkit/edgeml/project.py` by `tests/toolkit/test_project_reference.py`. `edgeml init` writes a file
that runs as it is. A wrong key or value gets its line, the reason, and the nearest right key.
"""
SECTIONS = [
    ("At the top", project.Project),
    ("[success.business], [success.ml], [success.economic]", project.Criterion),
    ("[data]", project.DataSection),
    ("[data.splits]", project.Splits),
    ("[training]", project.Training),
    ("[compression]", project.Compression),
    ("[budgets.TARGET]", project.Budget),
    ("[fleet]", project.Fleet),
]
ELSEWHERE = {"root", "success", "data", "training", "compression", "fleet", "splits"}


def meanings(model: type[pydantic.BaseModel]) -> dict[str, str]:
    """Read the `Args:` of a docstring; `mean, std: ...` explains both."""
    text = inspect.cleandoc(model.__doc__ or "").partition("Args:")[2]  # Python 3.13 has dedented it already
    found: dict[str, str] = {}
    for entry in re.split(r"\n {4}(?=\w)", text):
        names, _, meaning = entry.partition(": ")
        found |= {name.strip(): " ".join(meaning.split()) for name in names.split(",")}
    return found


def default_of(field: pydantic.fields.FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    return "none" if value in (None, {}, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def section(title: str, model: type[pydantic.BaseModel]) -> str:
    said = meanings(model)
    intro = (model.__doc__ or "").strip().splitlines()[0]
    rows = [
        f"| `{name}` | {default_of(field)} | {said[name]} |"
        for name, field in model.model_fields.items()
        if not (name in ELSEWHERE and model in (project.Project, project.DataSection))
    ]
    return f"## {title}\n\n{intro}\n\n| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def test_the_page_explains_every_key() -> None:
    page = HEAD + "\n" + "\n".join(section(title, model) for title, model in SECTIONS)
    if os.environ.get("EDGEML_WRITE_DOCS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "write it anew: EDGEML_WRITE_DOCS=1 pytest tests/toolkit/test_project_reference.py"
