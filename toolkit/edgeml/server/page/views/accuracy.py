"""Accuracy on labelled answers, with its interval: the only accuracy there is, for nothing here is estimated without labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.server.tables import ACCURACIES

MOST: Final = 200
_Z: Final = 1.959964  # the normal quantile of 97.5 %


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
    def low(self) -> float:
        """The interval's lower end."""
        return _wilson(self.right, self.labelled)[0]

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return _wilson(self.right, self.labelled)[1]


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


def _wilson(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, doi:10.2307/2276774)."""
    share, z2 = right / total, _Z * _Z
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    return max(centre - half, 0.0), min(centre + half, 1.0)
