"""One page of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """Which page of how many entries is shown.

    Args:
        number: Counts from 1.
        size: Entries a page.
        total: Entries in all.
        address: Returns the address of a page.
    """

    number: int
    size: int
    total: int
    address: Callable[[int], str]

    @property
    def first(self) -> int:
        """The first entry's number, from 1; 0 where there is none."""
        return min((self.number - 1) * self.size + 1, self.total)

    @property
    def last(self) -> int:
        """The last entry's number."""
        return min(self.number * self.size, self.total)


def page_number(text: str | None) -> int:
    """Return a page's number from an address; what is no number is the first."""
    return max(int(text), 1) if text and text.isascii() and text.isdigit() and len(text) < 9 else 1
