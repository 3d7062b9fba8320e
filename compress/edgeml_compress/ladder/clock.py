"""How fast recipes are on a target: roughly, in this process, and surely, in a short race."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from edgeml_bench import race
from edgeml_bench.jobs import LEAST_LOADS
from edgeml_compress.exporting import write, write_float
from edgeml_compress.judging.judge import scout
from edgeml_compress.ladder.trials import Trials
from edgeml_compress.recipe import Recipe
from edgeml_targets.contract.errors import EdgemlError, NotWritten
from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes import Tensors
from edgeml_targets.target import Target

RACE_S: Final = 0.6


class Clock:
    """Times recipes on a target; each is exported and scouted once.

    Args:
        trials: Make what recipes make of the model.
        target: Where it runs; its latency can be measured here.
        settings: The target's, on this machine.
        feed: One sample as the model takes it.
        folder: For artifacts, which stay there.
    """

    def __init__(self, trials: Trials, target: Target, settings: Settings, feed: Tensors, folder: Path) -> None:
        self._trials, self._target, self._settings, self._feed, self._folder = trials, target, settings, feed, folder
        self._artifacts: dict[str, Path] = {}
        self._scouted_us: dict[str, float] = {}

    def scouted_us(self, recipe: Recipe | None) -> float:
        """Return roughly how long one inference takes, in microseconds; `None` is the float model.

        What the target's format cannot express takes for ever; whoever makes candidates says so by name.
        """
        key = _key(recipe)
        if key not in self._scouted_us:
            self._scouted_us[key] = self._scout(recipe)
        return self._scouted_us[key]

    def _scout(self, recipe: Recipe | None) -> float:
        try:
            return scout(self._artifact(recipe), self._settings, self._feed)
        except NotWritten:
            raise
        except EdgemlError:
            return math.inf

    def faster(self, recipe: Recipe, than: Recipe | None) -> bool:
        """Tell whether a recipe is surely faster than another one, `None` the float model, in a short race."""
        if not math.isfinite(self.scouted_us(recipe)) or not math.isfinite(self.scouted_us(than)):
            return False
        artifacts = [self._artifact(than), self._artifact(recipe)]
        timings = race(artifacts, self._settings, seconds=RACE_S, loads=LEAST_LOADS, inputs=self._feed)
        return timings[1].ratio_high < 1

    def _artifact(self, recipe: Recipe | None) -> Path:
        key = _key(recipe)
        if key not in self._artifacts:
            self._artifacts[key] = self._export(recipe, len(self._artifacts))
        return self._artifacts[key]

    def _export(self, recipe: Recipe | None, number: int) -> Path:
        if recipe is None:
            return write_float(self._trials.source, self._target, self._folder)[0]
        draft = self._trials.draft(recipe)
        path = self._folder / f"{number}{self._target.suffix}"
        write(draft.model, draft.encodings, self._target, path, self._trials.source.splits)
        return path


def _key(recipe: Recipe | None) -> str:
    return "" if recipe is None else recipe.to_toml()
