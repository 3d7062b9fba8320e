"""Make a target's candidates: apply the recipes, export, and say what each leaves in float."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeml_compress.candidates import DYNAMIC
from edgeml_compress.exporting import write, write_float
from edgeml_compress.forms import forms
from edgeml_compress.judging.choice import FLOAT
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.left_in_float import left_in_float
from edgeml_compress.recipe import Recipe
from edgeml_compress.results import LayerForm, recipe_file
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError, NotWritten
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.target import Target


@dataclass(frozen=True)
class Made:
    """A candidate that was exported: its name, file, recipe, what it keeps in float, what its passes note, and the form of each layer."""

    name: str
    artifact: Path
    recipe: Recipe | None = None
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layers: tuple[LayerForm, ...] = ()


def make(trials: Trials, target: Target, recipes: Sequence[Recipe], folder: Path) -> tuple[list[Made], list[str]]:
    """Export float32 and every candidate for a target into `folder`, each candidate with its recipe beside it.

    Args:
        trials: Make what recipes make of the model, for the target's scheme.
        target: Whom for.
        recipes: The candidates' own.
        folder: For artifacts and recipes.

    Returns:
        The candidates, float32 first, and notes: what had to be fixed and for which, and a line for each candidate that was left out or is
        float32 in all but name.

    Raises:
        EdgemlError: Not one int8 candidate, or not even float32, can be expressed in the target's format.
    """
    source = trials.source
    with _named(target):
        plain, fixed = write_float(source, target, folder)
    made, notes, told = [Made(FLOAT, plain)], list[str](), {FLOAT: fixed.note}
    known = [(FLOAT, Encodings())]
    refused: EdgemlError | None = None
    for recipe in recipes:
        draft = trials.draft(recipe)
        twin = next((name for name, encodings in known if encodings == draft.encodings), None)
        needed = "int8" in recipe.name and not any("int8" in m.name for m in made)  # cli.md promises one
        if twin is not None and not (twin == FLOAT and needed):
            notes.append(f"{recipe.name} was left out: for this model it is the same as {twin}.")
            continue
        if recipe.name == DYNAMIC and not draft.encodings.dynamic:
            notes.append(f"{recipe.name} was left out: no product in it gains by finding a scale at run time.")
            continue
        artifact = folder / f"{source.path.stem}.{recipe.name}{target.suffix}"
        try:
            with _named(target):
                fixed = write(draft.model, draft.encodings, target, artifact, source.splits)
        except NotWritten:
            raise
        except EdgemlError as error:
            refused = refused or error
            notes.append(f"{recipe.name} was left out: {error.what} ({error.where}).")
            continue
        write_atomic(recipe_file(artifact), recipe.to_toml().encode())
        known.append((recipe.name, draft.encodings))
        told[recipe.name] = fixed.note
        layers = forms(draft.model, draft.encodings)
        kept = left_in_float(draft, layers) if "int8" in recipe.name else draft.kept
        made.append(Made(recipe.name, artifact, recipe, kept, tuple(dict.fromkeys(draft.notes)), layers))
        if twin == FLOAT:
            notes.append(f"{recipe.name}: nothing in it became integers.")
    if refused is not None and not any("int8" in m.name for m in made):
        raise refused
    return made, [*_fixed(told), *notes]


def _fixed(told: Mapping[str, str]) -> list[str]:
    """Return what had to be fixed, from the note of each candidate: once where it is the same for all, else by their names."""
    names: dict[str, list[str]] = {}
    for name, note in told.items():
        names.setdefault(note, []).append(name)
    if len(names) == 1:
        return [note for note in names if note]
    return [f"{', '.join(of)}: {note}" for note, of in names.items() if note]


@contextlib.contextmanager
def _named(target: Target) -> Iterator[None]:
    """Let what cannot be expressed in a target's format name the target, of which there may be several."""
    try:
        yield
    except NotWritten:
        raise
    except EdgemlError as error:
        raise EdgemlError(error.what, where=f"{target.name}: {error.where}", mend=error.mend) from error
