"""What is wrong in a project file, said in one line: where, what, and the nearest right key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import pydantic

from edgeml_targets.contract.errors import EdgemlError

Path_ = tuple[str, ...]
LONGEST_VALUE: Final = 40
WRONG_VALUES: Final = ("Invalid value", "Expected newline or end of document after a statement")  # of tomllib


def lines_of(text: str) -> dict[Path_, int]:
    """Return the line, from 1, on which each key and table of a TOML document is set.

    A statement is the shortest run of lines that tomllib reads on its own; so there is no second TOML parser here.

    Example:
        >>> lines_of("name = 'a'\\n[data.splits]\\ntest = 0.2\\n")[("data", "splits", "test")]
        3
    """
    found: dict[Path_, int] = {}
    table: Path_ = ()
    statement, began = "", 1
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        if not statement:
            began = number
        statement += line
        try:
            written = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if statement.lstrip().startswith("["):
            table = max(_paths(written), key=len, default=())
            prefix: Path_ = ()
        else:
            prefix = table
        for path in _paths(written):
            found.setdefault((*prefix, *path), began)
        statement = ""
    return found


def syntax_error(error: tomllib.TOMLDecodeError, *, text: str, file: Path) -> EdgemlError:
    """Return the error of a file that is no TOML, with the line that is none."""
    said, mend = str(error), "correct the line, or let edgeml init write a new one elsewhere"
    if said.startswith(WRONG_VALUES):
        mend = "text goes in quotes, numbers without"
    if found := re.fullmatch(r"(.*) \(at line (\d+).*\)", said):
        line = text.split("\n")[int(found[2]) - 1].strip()[:LONGEST_VALUE]
        said = f"line {found[2]}: {line}: {found[1][:1].lower()}{found[1][1:]}"
    return EdgemlError(said, where=str(file), mend=mend)


def value_error(path: Sequence[str | int], what: str, mend: str, *, text: str, file: Path) -> EdgemlError:
    """Return the error of one value, with its line; `path` leads to it through the document."""
    return EdgemlError(f"line {_line(path, text)}: {_dotted(path)}: {what}", where=str(file), mend=mend)


def schema_error(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], *, text: str, file: Path
) -> EdgemlError:
    """Return the first fault that pydantic found; a key that does not exist comes before one that is missing."""
    faults = error.errors()
    fault = min(faults, key=lambda f: f["type"] != "extra_forbidden")
    path, kind = fault["loc"], fault["type"]
    if kind == "extra_forbidden":
        what, mend = "no such key", nearest_key(path, model)
    elif kind == "missing":
        what, mend = "is missing", "add it"
    else:
        said = fault["msg"].removeprefix("Value error, ")
        what, mend = said[:1].lower() + said[1:], "correct it"
        if isinstance(fault["input"], str | int | float):
            what = f"{str(fault['input'])[:LONGEST_VALUE]!r}: {what}"
    return value_error(path, what, mend, text=text, file=file)


def nearest_key(path: Sequence[str | int], model: type[pydantic.BaseModel]) -> str:
    """Return what was meant by the last key of `path`: a like one of its own table, or the table that has it."""
    *above, key = (str(part) for part in path)
    tables = dict(_tables(model, ()))
    here = next((tables[p] for p in (tuple(above), (*above[:-1], "*")) if p in tables), model)
    near = [name for name in here.model_fields if name.startswith(key)]
    near = near or difflib.get_close_matches(key, here.model_fields, n=1)
    if near:
        return f"did you mean {near[0]}?"
    elsewhere = [".".join(p) for p, table in tables.items() if key in table.model_fields and "*" not in p and p]
    if elsewhere:
        return f"it belongs in [{elsewhere[0]}]"
    return f"choose one of {', '.join(here.model_fields)}"


def _tables(model: type[pydantic.BaseModel], path: Path_) -> Iterator[tuple[Path_, type[pydantic.BaseModel]]]:
    """Yield every table of the schema with its path; `*` stands for a name that the user chose."""
    yield path, model
    for name, field in model.model_fields.items():
        annotation = field.annotation
        named = getattr(annotation, "__origin__", None) is dict
        for kind in (annotation, *get_args(annotation)):
            if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
                yield from _tables(kind, (*path, name, "*") if named else (*path, name))


def _paths(written: Mapping[str, Any]) -> Iterator[Path_]:
    for key, value in written.items():
        yield (key,)
        below = value[-1] if isinstance(value, list) and value else value
        if isinstance(below, dict):
            yield from ((key, *path) for path in _paths(below))


def _line(path: Sequence[str | int], text: str) -> int:
    """Return the line of the longest part of `path` that the document has; what is missing is missing in its table."""
    lines = lines_of(text)
    names = tuple(str(part) for part in path)
    return next((lines[names[:n]] for n in range(len(names), 0, -1) if names[:n] in lines), 1)


def _dotted(path: Sequence[str | int]) -> str:
    dotted = ""
    for part in path:
        dotted += f"[{part}]" if isinstance(part, int) else f".{part}" if dotted else part
    return dotted
