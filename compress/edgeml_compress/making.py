"""Make a target's candidates: apply the recipes, export, and say what each leaves in float."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeml_compress.candidates import DYNAMIC
from edgeml_compress.exporting import write, write_float
from edgeml_compress.forms import forms
from edgeml_compress.judging.choice import FLOAT
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.left_in_float import left_in_float
from edgeml_compress.recipe import Recipe
from edgeml_compress.results import LayerForm, recipe_file
from edgeml_compress.source import Source
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError, NotWritten
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.target import Target


@dataclass(frozen=True)
class Made:
    """A candidate that was exported.

    Args:
        name: Its name.
        artifact: Its file.
        recipe: What makes it; `None`: it is float32.
        encodings: How it stores its tensors.
        kept: What it keeps in float.
        notes: What its passes note.
        layers: The form of each layer.
        fixed: What had to be fixed for the target's format, often empty.
    """

    name: str
    artifact: Path
    recipe: Recipe | None = None
    encodings: Encodings = field(default_factory=Encodings)
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layers: tuple[LayerForm, ...] = ()
    fixed: str = ""


def make(
    trials: Trials, target: Target, recipes: Sequence[Recipe], folder: Path, before: Sequence[Made] = ()
) -> tuple[list[Made], list[str]]:
    """Export float32 and every candidate for a target into `folder`, each candidate with its recipe beside it.

    Args:
        trials: Make what recipes make of the model, for the target's scheme.
        target: Whom for.
        recipes: The candidates' own.
        folder: For artifacts and recipes.
        before: What was made into the folder already, float32 first: it is taken as it is where its recipe is asked for, and
            removed where no candidate has its name any more.

    Returns:
        The candidates, float32 first, and notes: what had to be fixed and for which, and a line for each candidate that was left out or is
        float32 in all but name.

    Raises:
        EdgemlError: Not one int8 candidate, or not even float32, can be expressed in the target's format.
    """
    source = trials.source
    made, notes = [before[0] if before else _plain(source, target, folder)], list[str]()
    again = {m.name: m for m in before}
    refused: EdgemlError | None = None
    for recipe in recipes:
        if recipe.name in again and again[recipe.name].recipe == recipe:
            made.append(again[recipe.name])
            continue
        draft = trials.draft(recipe)
        twin = next((m.name for m in made if m.encodings == draft.encodings), None)
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
        layers = forms(draft.model, draft.encodings)
        kept = left_in_float(draft, layers) if "int8" in recipe.name else draft.kept
        said = tuple(dict.fromkeys(draft.notes))
        made.append(Made(recipe.name, artifact, recipe, draft.encodings, kept, said, layers, fixed.note))
    notes += [f"{m.name}: nothing in it became integers." for m in made[1:] if m.encodings == made[0].encodings]
    if refused is not None and not any("int8" in m.name for m in made):
        raise refused
    for name in again.keys() - {m.name for m in made}:
        again[name].artifact.unlink(missing_ok=True)
        recipe_file(again[name].artifact).unlink(missing_ok=True)
    return made, [*_fixed(made), *notes]


def _plain(source: Source, target: Target, folder: Path) -> Made:
    with _named(target):
        artifact, fixed = write_float(source, target, folder)
    return Made(FLOAT, artifact, fixed=fixed.note)


def _fixed(made: Sequence[Made]) -> list[str]:
    """Return what had to be fixed: once where it is the same for all candidates, else by their names."""
    names: dict[str, list[str]] = {}
    for candidate in made:
        names.setdefault(candidate.fixed, []).append(candidate.name)
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
