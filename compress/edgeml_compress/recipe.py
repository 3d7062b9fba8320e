"""Recipes: an ordered list of passes with their parameters. Data, so that a candidate can be printed and made again."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from edgeml_compress.passes import Draft, find_pass
from edgeml_targets.contract.errors import EdgemlError


@dataclass(frozen=True)
class Step:
    """One pass of a recipe: the pass's name, and its parameters, an instance of that pass's `Params`."""

    name: str
    params: Any


@dataclass(frozen=True)
class Recipe:
    """A candidate's name and the passes that make it, in order."""

    name: str
    steps: tuple[Step, ...] = ()

    def to_toml(self) -> str:
        """Return the recipe as TOML that `from_toml` reads."""
        lines = [f"name = {_toml(self.name)}"]
        for step in self.steps:
            lines += ["", "[[passes]]", f"name = {_toml(step.name)}"]
            given = dataclasses.asdict(step.params)
            lines += [f"{key} = {_toml(value)}" for key, value in given.items() if value is not None]
        return "\n".join(lines) + "\n"

    @classmethod
    def from_toml(cls, text: str, *, where: str) -> Recipe:
        """Read a recipe; `where` names its file in the error.

        Raises:
            EdgemlError: It is no TOML, names a pass that does not exist, or gives a parameter a wrong value.

        Example:
            >>> Recipe.from_toml('name = "half"\\n[[passes]]\\nname = "halve_weights"', where="half.toml").name
            'half'
        """
        try:
            written = _WRITTEN.validate_python(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, pydantic.ValidationError) as error:
            raise _wrong(error, where) from error
        steps = (_step(given, f"{where}: passes[{i}]") for i, given in enumerate(written.passes))
        return cls(written.name, tuple(steps))


def apply(recipe: Recipe, draft: Draft) -> Draft:
    """Return what a recipe makes of a draft, pass after pass.

    Raises:
        EdgemlError: A pass cannot do its work on this model.
    """
    for step in recipe.steps:
        draft = find_pass(step.name).apply(draft, step.params)
    return draft


@pydantic.dataclasses.dataclass(frozen=True, config=pydantic.ConfigDict(extra="forbid"))
class _Written:
    name: str
    passes: list[dict[str, Any]] = dataclasses.field(default_factory=list)


_WRITTEN = pydantic.TypeAdapter(_Written)


def _step(given: Mapping[str, Any], where: str) -> Step:
    name = given.get("name")
    if not isinstance(name, str):
        raise EdgemlError("a pass has no name", where=where, mend='add name = "..."')
    params = find_pass(name).params
    known = {field.name for field in dataclasses.fields(params)}
    unknown = sorted(given.keys() - known - {"name"})
    if unknown:
        raise EdgemlError(
            f"{unknown[0]} is no parameter of {name}",
            where=where,
            mend=f"it takes {', '.join(sorted(known)) or 'none'}",
        )
    try:
        checked = pydantic.TypeAdapter(params).validate_python({k: v for k, v in given.items() if k != "name"})
    except pydantic.ValidationError as error:
        raise _wrong(error, where) from error
    return Step(name, checked)


def _wrong(error: Exception, where: str) -> EdgemlError:
    if not isinstance(error, pydantic.ValidationError):
        return EdgemlError(f"no TOML: {error}", where=where, mend="correct the line")
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return EdgemlError(f"{place} is {first['input']!r}: {first['msg']}", where=where, mend="correct the value")


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # a JSON string is a TOML string
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(v) for v in value)}]"
    return repr(value)
