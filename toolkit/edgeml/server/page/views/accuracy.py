"""Accuracy on labelled answers, with its interval: the only accuracy there is, for nothing here is estimated without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.figures import number, percent
from edgeml.server.tables import ACCURACIES
from edgeml_bench.statistics import wilson_interval

MOST: Final = 200


@dataclass(frozen=True)
class Labelled:
    """One measurement: so many of the labelled answers were right, as a share of 1 with its 95 % interval."""

    at: float
    release: str
    right: int
    labelled: int
    of: str

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.labelled

    @property
    def words(self) -> str:
        """The share with its interval: "96.7 % (94.5 to 98.1)"."""
        return f"{percent(self.share)} ({number(100 * self.low, 1)} to {number(100 * self.high, 1)})"

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return wilson_interval(self.right, self.labelled).low

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return wilson_interval(self.right, self.labelled).high


def read_labelled(connection: sa.Connection, *, since: float) -> list[Labelled]:
    """Return the measurements on labelled answers since a time, oldest first, the newest 200 at most."""
    query = sa.select(ACCURACIES).where(ACCURACIES.c.at >= since, ACCURACIES.c.labelled > 0)
    rows = connection.execute(query.order_by(ACCURACIES.c.at.desc()).limit(MOST)).mappings().all()
    return [Labelled(r["at"], r["release"], r["right"], r["labelled"], r["of"]) for r in reversed(rows)]


def newest_labelled(connection: sa.Connection, release: str | None) -> Labelled | None:
    """Return the newest measurement, of one release where it is named."""
    query = sa.select(ACCURACIES).where(ACCURACIES.c.labelled > 0)
    if release is not None:
        query = query.where(ACCURACIES.c.release == release)
    r = connection.execute(query.order_by(ACCURACIES.c.at.desc()).limit(1)).mappings().first()
    return None if r is None else Labelled(r["at"], r["release"], r["right"], r["labelled"], r["of"])
