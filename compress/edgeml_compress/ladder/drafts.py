"""What recipes make of one model for one scheme. What several begin with is made once: a ladder tries many that begin alike."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from edgeml_compress.passes import Draft
from edgeml_compress.recipe import Recipe, Step, apply
from edgeml_compress.source import Source
from edgeml_targets.target import Scheme

MOST_KEPT: Final = 8
"""Beginnings that are kept, those asked for last: of the best way to round and of the next. They share their tensors with the
model but for what passes change: a learned one holds all weights anew."""


class Drafts:
    """Makes drafts.

    Args:
        source: The prepared, calibrated model.
        scheme: How the target wants its integers.
    """

    def __init__(self, source: Source, scheme: Scheme) -> None:
        self.source, self.scheme = source, scheme
        self._kept: OrderedDict[tuple[Step, ...], Draft] = OrderedDict()

    def of(self, recipe: Recipe) -> Draft:
        """Return what a recipe makes of the model, from the longest of its beginnings that is known.

        Raises:
            EdgemlError: A pass cannot do its work on this model.
        """
        steps = recipe.steps
        known = next((count for count in range(len(steps), 0, -1) if steps[:count] in self._kept), 0)
        draft = self._kept[steps[:known]] if known else self.source.draft(self.scheme)
        for count in range(known, len(steps)):
            draft = apply(Recipe(recipe.name, steps[count : count + 1]), draft)
            self._kept[steps[: count + 1]] = draft
        self._let_go(steps)
        return draft

    def _let_go(self, steps: tuple[Step, ...]) -> None:
        """Keep the beginnings of `steps` and those asked for before, as many as may be."""
        for count in range(1, len(steps) + 1):
            if steps[:count] in self._kept:
                self._kept.move_to_end(steps[:count])
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
