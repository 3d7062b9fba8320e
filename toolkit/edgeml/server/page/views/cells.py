"""Devices by target and release: a square a device where there are few, a bar split by state where there are many."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from edgeml.figures import percent
from edgeml.server.page.icons import Status
from edgeml.server.page.views.rollouts import Rollout
from edgeml.server.page.views.scene import NEAR_LIMIT, Scene
from edgeml.server.page.views.trends import budget_in_ms, in_ms
from edgeml.server.tables import DEVICES, WINDOWS

MOST_SQUARES: Final = 60
MOST_NAMED: Final = 600  # devices that get a square with their name
MOST_TARGETS: Final = 12
ANSWERED_WITHIN_S: Final = 3600.0
SAMPLED: Final = 50  # devices of a target whose newest window gives its latency
WORST_FIRST: Final = ("degraded", "silent", "never_seen", "healthy")
OLDER: Final = "older"
NONE: Final = "none"
RELEASE: Final = sa.func.coalesce(
    DEVICES.c.release, DEVICES.c.desired
)  # one that was never seen counts where it shall be


@dataclass(frozen=True)
class Cell:
    """The devices of one target that run one release.

    Args:
        release: The column.
        label: The column's name where there is no header.
        counts: (state, devices), worst first.
        names: The devices' names by state, in the order of the squares; empty where there are too many to name.
    """

    release: str
    label: str
    counts: tuple[tuple[str, int], ...]
    names: tuple[tuple[str, str], ...]

    @property
    def devices(self) -> int:
        """How many devices are in the cell."""
        return sum(count for _, count in self.counts)

    @property
    def split(self) -> bool:
        """Whether a bar split by state stands for the devices."""
        return self.devices > MOST_SQUARES


@dataclass(frozen=True)
class Latency:
    """A target's p99 against its budget: the median over devices of their newest windows.

    Args:
        value, budget: In words; the budget is empty where none is stated.
        share: Of the budget, at most 1; `None` without a budget.
        status: `warn` from 90 % of the budget on.
        word: What `warn` means.
        why: Why there is no figure.
    """

    value: str
    budget: str
    share: float | None
    status: Status
    why: str = ""
    word: str = ""


@dataclass(frozen=True)
class Row:
    """One target."""

    target: str
    title: str
    runtime: str
    devices: int
    cells: tuple[Cell, ...]
    latency: Latency


@dataclass(frozen=True)
class Cells:
    """The table: columns are releases, the one that is rolled out first.

    Args:
        columns: (release, its heading).
        main: The widest column: the release that most devices run.
        more_targets: How many targets are left out, with the fewest devices.
        states: Which states occur, for the key.
        wide: Whether any cell is a split bar.
    """

    columns: tuple[tuple[str, str], ...]
    main: str
    rows: tuple[Row, ...]
    more_targets: int
    states: tuple[str, ...]
    wide: bool


def read_cells(connection: sa.Connection, scene: Scene, rollout: Rollout | None) -> Cells:
    """Count the devices by target, release and state, and read each target's latency."""
    query = sa.select(DEVICES.c.target, RELEASE, DEVICES.c.state, sa.func.count())
    rows = connection.execute(query.group_by(DEVICES.c.target, RELEASE, DEVICES.c.state)).all()
    total = sum(row[3] for row in rows)
    columns = _columns(rows, rollout)
    by_cell: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sizes: dict[str, int] = defaultdict(int)
    for target, release, state, count in rows:
        by_cell[target, _column(release, columns)][state] += count
        sizes[target] += count
    names = _names(connection, columns) if total <= MOST_NAMED else {}
    latencies = _latencies(connection, scene)
    targets = sorted(sizes, key=lambda t: (-sizes[t], t))
    shown = tuple(
        Row(
            target,
            scene.hardware(target).title,
            scene.hardware(target).runtime,
            sizes[target],
            tuple(_cell(c, by_cell.get((target, c), {}), names.get((target, c), [])) for c, _ in columns),
            latencies.get(target, Latency("", "", None, "never", "no answers in the last hour")),
        )
        for target in targets[:MOST_TARGETS]
    )
    states = {state for _, _, state, _ in rows}
    wide = any(cell.split for row in shown for cell in row.cells)
    main = next((c for c, title in columns if c == title), columns[-1][0] if columns else "")
    return Cells(
        columns, main, shown, len(targets) - len(shown), tuple(s for s in reversed(WORST_FIRST) if s in states), wide
    )


def _columns(rows: Sequence[tuple[str, str | None, str, int]], rollout: Rollout | None) -> tuple[tuple[str, str], ...]:
    """Return the columns: the release that is rolled out, the one that most devices run, all older ones, none."""
    sizes: dict[str, int] = defaultdict(int)
    for _, release, _, count in rows:
        sizes[release or NONE] += count
    ranked = sorted((r for r in sizes if r != NONE), key=lambda r: (-sizes[r], r))
    rolling = rollout.release if rollout is not None and rollout.running else None
    main = next((r for r in ranked if r != rolling), None)
    found = [(rolling, f"{rolling}, new")] if rolling else []
    found += [(main, main)] if main else []
    found += [(OLDER, "other releases")] if any(r not in (rolling, main) for r in ranked) else []
    found += [(NONE, "no release yet")] if NONE in sizes else []
    return tuple((str(key), title) for key, title in found)


def _column(release: str | None, columns: tuple[tuple[str, str], ...]) -> str:
    key = release or NONE
    return key if key in {c for c, _ in columns} else OLDER


def _cell(column: str, counts: Mapping[str, int], names: Sequence[tuple[str, str]]) -> Cell:
    ordered = tuple((s, counts[s]) for s in WORST_FIRST if counts.get(s))
    return Cell(
        column,
        column if column != NONE else "none",
        ordered,
        tuple(sorted(names, key=lambda n: (WORST_FIRST.index(n[0]), n[1]))),
    )


def _names(
    connection: sa.Connection, columns: tuple[tuple[str, str], ...]
) -> dict[tuple[str, str], list[tuple[str, str]]]:
    query = sa.select(DEVICES.c.target, RELEASE, DEVICES.c.state, DEVICES.c.device).limit(MOST_NAMED)
    found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for target, release, state, device in connection.execute(query):
        found[target, _column(release, columns)].append((state, device))
    return found


def newest_answers(devices: sa.FromClause, now: float) -> sa.Select[str, float | None, float]:
    """Return a query for (device, p99 in us, end) of each device's newest window with answers, within the last hour.

    Args:
        devices: A subquery with a column `device`.
        now: Seconds since 1970. An idle device sends windows without answers for months: the hour bounds what is read.
    """
    inner = WINDOWS.alias("inner")
    answered = sa.select(inner.c.ended_at).where(
        inner.c.device == devices.c.device, inner.c.ended_at >= now - ANSWERED_WITHIN_S, inner.c.answers > 0
    )
    newest = answered.order_by(inner.c.ended_at.desc()).limit(1).correlate(devices).scalar_subquery()
    joined = devices.join(WINDOWS, sa.and_(WINDOWS.c.device == devices.c.device, WINDOWS.c.ended_at == newest))
    return sa.select(devices.c.device, WINDOWS.c.p99_us, WINDOWS.c.ended_at).select_from(joined)


def _latencies(connection: sa.Connection, scene: Scene) -> dict[str, Latency]:
    """Return each target's p99 from the devices that were heard of last."""
    order = sa.func.row_number().over(partition_by=DEVICES.c.target, order_by=DEVICES.c.last_seen.desc())
    ranked = sa.select(DEVICES.c.device, DEVICES.c.target, order.label("rank")).where(DEVICES.c.last_seen.is_not(None))
    inner = ranked.subquery()
    sampled = sa.select(inner.c.device, inner.c.target).where(inner.c.rank <= SAMPLED).subquery()
    target_of = dict(connection.execute(sa.select(sampled.c.device, sampled.c.target)).all())
    by_target: dict[str, list[float]] = defaultdict(list)
    for device, p99_us, _ in connection.execute(newest_answers(sampled, scene.now)):
        if p99_us is not None and device in target_of:
            by_target[target_of[device]].append(p99_us)
    return {t: latency(statistics.median(found), scene.latency_budget_us(t)) for t, found in by_target.items()}


def latency(p99_us: float, budget_us: float | None) -> Latency:
    """Hold a p99 against its budget, both in microseconds."""
    value = in_ms(p99_us)
    if budget_us is None:
        return Latency(f"{value}\u00a0ms", "", None, "info", "no budget stated")
    share = p99_us / budget_us
    status: Status = "warn" if share >= NEAR_LIMIT else "ok"
    word = "over its budget" if share > 1 else f"{percent(share, 0)} of its budget"
    return Latency(value, budget_in_ms(budget_us), min(share, 1.0), status, word=word)
