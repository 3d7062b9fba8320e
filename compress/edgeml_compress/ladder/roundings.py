"""Choose how layers are rounded, on the validation samples: which observer, and which of the cheap passes pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from edgeml_compress.candidates import Rounding
from edgeml_compress.ladder.trials import Trial, Trials
from edgeml_compress.ladder.variants import cheap_variants, corrected, titles
from edgeml_compress.observers import observer_names
from edgeml_targets.contract.encodings import Encodings

DEFAULT_OBSERVER: Final = "minmax"
WORTH_IT: Final = 0.95  # of the error without a pass
HOPELESS: Final = 0.3  # relative error of full int8: a pass takes a part of it, not nine tenths
SHIFTING: Final = "mse"
DEAR_PARAMETERS: Final = (
    1_000_000  # of a network whose ways to round take longer to try than the rest of a second target
)
PROMISING: Final = 1  # observers whose biases are corrected besides


@dataclass(frozen=True)
class Tried:
    """A way to round, and how full int8 did with it on the validation samples.

    Args:
        rounding: The way.
        trial: How it did.
        taken_over: Whether it was the best under another scheme, and no others were tried under this one.
    """

    rounding: Rounding
    trial: Trial
    taken_over: bool = False

    @property
    def observer(self) -> str:
        """The observer's name."""
        return self.rounding.observer

    @property
    def title(self) -> str:
        """It in words: `mse, biases corrected`."""
        return ", ".join((self.observer, *titles(self.rounding)))

    @property
    def error(self) -> float:
        """The outputs' relative error; 0 is equal."""
        return self.trial.error


def try_observers(trials: Trials, before: Rounding | None = None) -> list[Tried]:
    """Make full int8 with each observer, and with what may make it better at no cost; return how each did, best first.

    The best is that of least error; passes before the rounding must take a twentieth of it.

    Biases are corrected for the observer that did best, and for the one of least squared error, whose own error is mostly
    such a shift. The network is made easier to round for the best of all these. Where every answer is lost already, none of
    it is tried.

    The error decides, not the accuracy: on a few hundred samples that moves by more than observers differ.

    Args:
        trials: Try recipes out for one scheme.
        before: The way to round that was best under another scheme. Of a network of `DEAR_PARAMETERS` or more no other is tried
            where its passes pay under this scheme, too: what suits a network is a matter of what its tensors hold first, and of
            the scheme last. Of a smaller one all are: that takes a second or two, and may be a tenth or two of the error less.
    """
    if before is not None and trials.source.parameters >= DEAR_PARAMETERS and (kept := _taken_over(trials, before)):
        return kept
    tried = _plain(trials)
    if not tried or tried[0].error > HOPELESS:
        return tried
    promising = [t for i, t in enumerate(tried) if i < PROMISING or t.observer == SHIFTING]
    tried += [_tried(trials, corrected(t.rounding)) for t in promising]
    winner = min(tried, key=lambda t: t.error).rounding
    eased = cheap_variants(trials.source.draft(trials.scheme), winner)
    tried += [_tried(trials, rounding) for rounding in eased if rounding.before]
    return sorted(tried, key=_cost)


def _cost(tried: Tried) -> float:
    """Return the error, which passes that change the float network must take some of: they ask for a calibration of their own."""
    return tried.error / WORTH_IT if tried.rounding.before else tried.error


def _taken_over(trials: Trials, before: Rounding) -> list[Tried]:
    """Return how the way to round that was best elsewhere did, and its observer alone; empty where it has no passes, or they do
    not pay here."""
    if not (before.before or before.after):
        return []
    plain = _tried(trials, Rounding(before.observer))
    if plain.error > HOPELESS:
        return []
    again = _tried(trials, before)
    return [replace(again, taken_over=True), plain] if again.error <= WORTH_IT * plain.error else []


def _tried(trials: Trials, rounding: Rounding) -> Tried:
    return Tried(rounding, trials.whole(trials.draft(rounding.recipe())))


def _plain(trials: Trials) -> list[Tried]:
    """Return how each observer did by itself, best first; those that give the same count once."""
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


def next_best(trials: Trials, tried: Sequence[Tried], most: float) -> Tried | None:
    """Return the best way to round by another observer than the best of all; `None` where its error is more than `most` times the
    best one's.

    Its biases are corrected, too, where those of the best are: that was not tried for every observer. Where the best was taken over,
    no other was tried before.
    """
    others = [t for t in (_plain(trials) if tried[0].taken_over else tried) if t.observer != tried[0].observer]
    if others and tried[0].rounding.after and not others[0].rounding.after:
        others.append(_tried(trials, corrected(others[0].rounding)))
    near = [t for t in others if t.error <= most * tried[0].error]
    return min(near, key=lambda t: t.error, default=None)
