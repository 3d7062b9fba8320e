"""Passes: a file each changes a draft: its graph, or how its tensors are written. The folder is the list.

Each file ends in `PASS = Pass(Params, function)`; a recipe names it by its file's name.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import onnx_ir as ir

from edgeml_compress.calibration import Calibration, Eased, calibrate, observed
from edgeml_compress.graph.channels import Floats, as_many, largest_by_channel
from edgeml_compress.graph.fingerprints import fingerprint
from edgeml_compress.graph.running import Samples
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.target import Scheme

P = TypeVar("P")
_MADE: Final[WeakKeyDictionary[ir.Model, dict[Any, tuple[ir.Model, Calibration, Any]]]] = WeakKeyDictionary()
V = TypeVar("V")


@dataclass(frozen=True)
class Draft:
    """A candidate in the making. A pass returns a new one and changes nothing.

    Args:
        model: The prepared float graph.
        encodings: How its tensors will be written; those without an entry stay in float32.
        calibration: What its tensors held.
        scheme: How the target wants its integers.
        kept: What a pass left in float although it was asked to quantize it: "Relu_3: its input is not finite".
        notes: What else a pass could not do, and why: "MatMul_7: has no bias to correct".
        samples: What the ranges were drawn from, for passes that must see the samples themselves; they stream them.
        reference: The float graph, where the weights of `model` have been moved onto a grid already; its tensors have
            the same names. `None`: `model` itself.
    """

    model: ir.Model
    encodings: Encodings
    calibration: Calibration
    scheme: Scheme
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    samples: Samples | None = None
    reference: ir.Model | None = None

    @property
    def plain(self) -> ir.Model:
        """The float graph, which answers what integers are to come close to."""
        return self.reference or self.model


@dataclass(frozen=True)
class Pass(Generic[P]):
    """A change that a recipe can ask for.

    Args:
        params: A frozen dataclass with a default for each parameter; pydantic checks it where a recipe is read.
        apply: The change itself.
    """

    params: type[P]
    apply: Callable[[Draft, P], Draft]


def pass_names() -> list[str]:
    """Return the names of all passes, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find_pass(name: str) -> Pass[Any]:
    """Return a pass by name.

    Raises:
        EdgemlError: There is none of that name.
    """
    if name not in pass_names():
        raise EdgemlError("no such pass", where=name, mend=f"choose one of {', '.join(pass_names())}")
    found: Pass[Any] = importlib.import_module(f"{__name__}.{name}").PASS
    return found


def needed_samples(draft: Draft, where: str) -> Samples:
    """Return a draft's samples, for a pass that has to see them.

    Raises:
        EdgemlError: It has none.
    """
    if draft.samples is None or min((len(array) for array in draft.samples.values()), default=0) == 0:
        raise EdgemlError("the pass has to see samples, and there are none", where=where, mend="calibrate with samples")
    return draft.samples


def refuse_encoded(draft: Draft, where: str) -> None:
    """Refuse a draft whose tensors have encodings already: the pass `where` moves the values that those were made for.

    Raises:
        EdgemlError: It has some.
    """
    if draft.encodings.tensors or draft.encodings.float16:
        raise EdgemlError("it changes weights that are encoded already", where=where, mend="let it be the first pass")


def once(apply: Callable[[Draft, P], Draft]) -> Callable[[Draft, P], Draft]:
    """Return a pass that changes a float network and recalibrates it, doing so once a network, samples and parameters.

    A ladder makes many recipes that begin alike, and this beginning costs as much as a calibration. Nobody writes into a
    network that has become part of a draft, so what was made of it before is made of it again.
    """

    @functools.wraps(apply)
    def remembering(draft: Draft, params: P) -> Draft:
        known = _MADE.setdefault(draft.model, {})
        key = (apply.__name__, params, draft.calibration.source, id(draft.samples))
        if key not in known:
            made = apply(draft, params)
            if made.model is draft.model:
                return made
            known[key] = (made.model, made.calibration, draft.samples)  # the samples, so that no others get their id
        model, calibration, _ = known[key]
        return replace(draft, model=model, calibration=calibration)

    return remembering


def largest_seen(draft: Draft, step: str, axes: Mapping[str, int]) -> dict[str, Floats]:
    """Return the largest magnitude of each channel of some tensors, (channels,), by name; from the calibration where `step` asked before.

    Args:
        draft: Its samples are run.
        step: The pass that asks, and its parameters.
        axes: The channel axis of each tensor, by name.

    Raises:
        EdgemlError: The draft has no samples.
    """
    known = _asked(draft, step)
    if known is not None and as_many(draft.model, axes, known.largest):
        return {name: np.array(known.largest[name]) for name in axes}
    return largest_by_channel(draft.model, needed_samples(draft, step), dict(axes))


def recalibrated(draft: Draft, model: ir.Model, step: str, largest: Mapping[str, Floats]) -> Draft:
    """Return a draft with another graph, whose tensors hold other values.

    Args:
        draft: What it was before.
        model: The other graph.
        step: The pass that made it, and its parameters.
        largest: What that pass asked of the samples.

    Raises:
        EdgemlError: The draft has no samples.
    """
    samples, before, known = needed_samples(draft, step), draft.calibration, _asked(draft, step)
    eased = before.eased
    if known is None or known.tensors.keys() != set(observed(model)):
        tensors = calibrate(model, samples).tensors
        asked = {name: tuple(values.tolist()) for name, values in largest.items()}
        known = Eased(step, fingerprint(draft.model), asked, tensors)
        eased = (*(e for e in eased if (e.step, e.network) != (step, known.network)), known)
    found = msgspec.structs.replace(before, tensors=known.tensors, eased=eased, means=None)
    return replace(draft, model=model, calibration=found)


def _asked(draft: Draft, step: str) -> Eased | None:
    """Return what a pass asked before of the network that a draft holds."""
    asked = [eased for eased in draft.calibration.eased if eased.step == step]
    network = fingerprint(draft.model) if asked else ""
    return next((eased for eased in asked if eased.network == network), None)


def named(known: Mapping[str, V], names: Collection[str] | None, noun: str) -> dict[str, V]:
    """Return what a recipe names of the `known`, in their order; all where it names none.

    Raises:
        EdgemlError: One is not known: the recipe is another model's.
    """
    unknown = sorted(set(names or ()) - known.keys())
    if unknown:
        mend = "give the model that the recipe was made for"
        raise EdgemlError(f"the model has no such {noun}", where=unknown[0], mend=mend)
    return {name: value for name, value in known.items() if names is None or name in names}
