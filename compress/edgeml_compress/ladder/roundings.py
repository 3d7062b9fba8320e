"""Choose how layers are rounded, on the validation samples: which observer, and which of the cheap passes pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeml_compress.candidates import Rounding
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.observers import observer_names
from edgeml_targets.contract.encodings import Encodings

DEFAULT_OBSERVER: Final = "minmax"


@dataclass(frozen=True)
class Tried:
    """A way to round, and how full int8 did with it on the validation samples."""

    rounding: Rounding
    trial: Trial

    @property
    def observer(self) -> str:
        """The observer's name."""
        return self.rounding.observer

    @property
    def error(self) -> float:
        """The outputs' relative error; 0 is equal."""
        return self.trial.error


def try_observers(trials: Trials) -> list[Tried]:
    """Make full int8 with each observer and return how it did, best first; those that give the same count once.

    The error decides, not the accuracy: on a few hundred samples that moves by more than observers differ.
    """
    tried: list[Tried] = []
    known: list[Encodings] = []
    for observer in sorted(observer_names(), key=lambda name: (name != DEFAULT_OBSERVER, name)):
        rounding = Rounding(observer)
        draft = trials.draft(rounding.recipe())
        if draft.encodings in known:
            continue
        known.append(draft.encodings)
        tried.append(Tried(rounding, trials.whole(draft)))
    return sorted(tried, key=lambda t: t.error)


def best(tried: Sequence[Tried]) -> Rounding:
    """Return the rounding of least error; the default where nothing was tried."""
    return tried[0].rounding if tried else Rounding(DEFAULT_OBSERVER)
