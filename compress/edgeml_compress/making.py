"""Make a target's candidates: choose how ranges are drawn, apply the recipes, export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx_ir as ir

from edgeml_bench import answers
from edgeml_bench.accuracy import right_answers
from edgeml_compress.candidates import recipes, static_int8
from edgeml_compress.choice import FLOAT
from edgeml_compress.fidelity import Answers, relative_error
from edgeml_compress.forms import forms
from edgeml_compress.observers import observer_names
from edgeml_compress.recipe import Recipe, apply
from edgeml_compress.results import LayerForm
from edgeml_compress.running import Samples
from edgeml_compress.source import Labels, Source
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.exporters import find_exporter
from edgeml_targets.models import float_artifact
from edgeml_targets.target import Target

DEFAULT_OBSERVER: Final = "minmax"


@dataclass(frozen=True)
class Made:
    """A candidate that was exported: its name, file, recipe, what it keeps in float, and what it makes of each layer."""

    name: str
    artifact: Path
    recipe: Recipe | None = None
    kept: tuple[str, ...] = ()
    layers: tuple[LayerForm, ...] = ()


@dataclass(frozen=True)
class Judge:
    """What observers are judged on: validation samples, which set no range, and what the float model answers for them."""

    samples: Samples
    reference: Answers
    labels: Labels | None


@dataclass(frozen=True)
class Tried:
    """How an observer did: the outputs' relative error on validation samples, and the accuracy there, where labels are."""

    observer: str
    error: float
    accuracy: float | None


def try_observers(source: Source, target: Target, settings: Settings, judge: Judge, folder: Path) -> list[Tried]:
    """Make full int8 with each observer and return how it did on the validation samples, best first.

    The error decides, not the accuracy: on a few hundred samples that moves by more than observers differ.

    Raises:
        EdgemlError: The target's format lacks an operator.
    """
    tried: list[Tried] = []
    known: list[Encodings] = []
    for observer in sorted(observer_names(), key=lambda name: (name != DEFAULT_OBSERVER, name)):
        draft = apply(static_int8(observer), source.draft(target.scheme))
        if draft.encodings in known:
            continue
        known.append(draft.encodings)
        artifact = folder / f"{source.path.stem}.{observer}{target.suffix}"
        find_exporter(target.suffix).export(draft.model, draft.encodings, artifact)
        got = answers(artifact, settings, judge.samples)
        artifact.unlink()
        accuracy = None
        if judge.labels is not None:
            accuracy = float(right_answers(next(iter(got.values())), judge.labels).mean())
        tried.append(Tried(observer, relative_error(judge.reference, got), accuracy))
    return sorted(tried, key=lambda t: t.error)


def make(source: Source, target: Target, observer: str, folder: Path) -> tuple[list[Made], list[str]]:
    """Export float32 and every candidate for a target into `folder`.

    Returns:
        The candidates, float32 first, and a note for each that was left out.

    Raises:
        EdgemlError: Not one int8 candidate, or not even float32, can be expressed in the target's format.
    """
    made, notes = [Made(FLOAT, _float(source, target, folder))], []
    known = [(FLOAT, Encodings())]
    refused: EdgemlError | None = None
    for recipe in recipes(observer):
        draft = apply(recipe, source.draft(target.scheme))
        twin = next((name for name, encodings in known if encodings == draft.encodings), None)
        if twin is not None and (twin != FLOAT or "int8" not in recipe.name):
            notes.append(f"{recipe.name} was left out: for this model it is the same as {twin}.")
            continue
        artifact = folder / f"{source.path.stem}.{recipe.name}{target.suffix}"
        try:
            find_exporter(target.suffix).export(draft.model, draft.encodings, artifact)
        except EdgemlError as error:
            refused = refused or error
            notes.append(f"{recipe.name} was left out: {error.what}.")
            continue
        known.append((recipe.name, draft.encodings))
        made.append(Made(recipe.name, artifact, recipe, draft.kept, forms(draft.model, draft.encodings)))
    if refused is not None and not any("int8" in m.name for m in made):
        raise refused
    return made, notes


def _float(source: Source, target: Target, folder: Path) -> Path:
    """Return the float model as the target loads it: the file itself, unless its weights lie in a second one."""
    weights = (v.const_value for v in source.model.graph.initializers.values())
    if target.suffix == source.path.suffix and any(isinstance(w, ir.ExternalTensor) for w in weights):
        whole = folder / f"{source.path.stem}.{FLOAT}{target.suffix}"
        find_exporter(target.suffix).export(source.model, Encodings(), whole)
        return whole
    return float_artifact(source.path, target, folder)
