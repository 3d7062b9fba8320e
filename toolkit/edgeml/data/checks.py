"""Data unit tests: what the project expects of its data, and whether a dataset is so.

The expectations are recorded from the first dataset that is prepared, in `lifecycle/expectations.json`, where people
read and change them; every dataset after that is held against them. A gate judges what is found here.

Source: Breck et al. 2019, Data Validation for Machine Learning (MLSys), whose schema is inferred once and then kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from edgeml.project import Project
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

if TYPE_CHECKING:
    from edgeml.data.describe import Description

FILE: Final = "expectations.json"
LEAST_DUPLICATES: Final = 0.05  # a share that no expectation falls below: a few copies are everyday
BALANCE: Final = 0.5  # a class may fall to this part of the share that it had
MARGIN: Final = 0.5  # of a range's width, on either side: further data reaches a little further


class DataCheck(msgspec.Struct, frozen=True):
    """One data unit test: what was found, what is allowed (both in words, with units), and whether it holds."""

    name: str
    value: str
    limit: str
    holds: bool


class Range(msgspec.Struct, frozen=True):
    """Between which values a column, or all values, may lie."""

    column: str
    low: float
    high: float


class Expectations(msgspec.Struct, frozen=True, kw_only=True):
    """What the project expects of its data.

    Args:
        shape, dtype: Of one raw sample.
        classes: The classes' names, in order.
        ranges: Of each column of a table, else one over all values.
        missing_share: Values that may be missing, a share of 1.
        duplicate_share: Samples whose content was there before, a share of 1.
        conflict_share: Samples whose content has another label, too, a share of 1.
        class_shares: The least share of 1 of each class, in the order of `classes`.
    """

    schema: str = "edgeml.expectations/1"
    shape: tuple[int, ...]
    dtype: str
    classes: tuple[str, ...]
    ranges: tuple[Range, ...]
    missing_share: float = 0.0
    duplicate_share: float = LEAST_DUPLICATES
    conflict_share: float = 0.01
    class_shares: tuple[float, ...]


def expectations_file(project: Project) -> Path:
    """Return where the project's expectations lie."""
    return project.ledger.parent / FILE


def expect(description: Description) -> Expectations:
    """Return the expectations that follow from a dataset, with room for more of the same kind."""
    counts = np.array(list(description.classes.values()), np.float64)
    return Expectations(
        shape=description.shape,
        dtype=description.dtype,
        classes=tuple(description.classes),
        ranges=tuple(_widened(c.name, c.low, c.high, description.dtype) for c in description.ranges),
        duplicate_share=max(LEAST_DUPLICATES, 2 * description.duplicates / description.samples),
        class_shares=tuple(float(round(s, 6)) for s in BALANCE * counts / counts.sum()),
    )


def recorded(project: Project) -> Expectations | None:
    """Return the project's expectations, or `None` before the first dataset.

    Raises:
        EdgemlError: The file is damaged.
    """
    file = expectations_file(project)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Expectations)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        mend = "correct it, or delete it and run edgeml data check"
        raise EdgemlError(f"no expectations: {error}", where=str(file), mend=mend) from error


def record(project: Project, expectations: Expectations) -> None:
    """Write the project's expectations.

    Raises:
        EdgemlError: The project cannot be written to.
    """
    content = msgspec.json.format(msgspec.json.encode(expectations), indent=1)
    write_atomic(expectations_file(project), content + b"\n")


def check(description: Description, expected: Expectations, *, least_per_class: int) -> tuple[DataCheck, ...]:
    """Hold a dataset against what is expected; `least_per_class` is the project file's."""
    return tuple(_checks(description, expected, least_per_class))


def _checks(found: Description, expected: Expectations, least_per_class: int) -> Iterator[DataCheck]:
    value, limit = _form(found.shape, found.dtype), _form(expected.shape, expected.dtype)
    yield DataCheck("schema", value, limit, value == limit)

    unexpected = [name for name in found.classes if name not in expected.classes]
    gone = [name for name in expected.classes if name not in found.classes]
    value = (
        ", ".join([f"new: {n}" for n in unexpected] + [f"gone: {n}" for n in gone]) or f"{len(found.classes)} classes"
    )
    yield DataCheck("classes", value, f"the {len(expected.classes)} recorded", not unexpected and not gone)

    yield _in_range(found, expected)
    values = found.samples * int(np.prod(found.shape))
    yield _share("missing", found.missing, values, expected.missing_share, "values")
    yield _share("duplicates", found.duplicates, found.samples, expected.duplicate_share, "samples")
    yield _share("contradictions", found.conflicts, found.samples, expected.conflict_share, "samples")
    yield DataCheck("splits apart", f"{found.straddling} contents in two splits", "0", found.straddling == 0)

    rarest = min(found.classes, key=lambda name: found.classes[name])
    fewest = found.classes[rarest]
    yield DataCheck(
        "samples a class", f"{fewest:,} of class {rarest}", f"at least {least_per_class}", fewest >= least_per_class
    )
    yield _balance(found, expected)


def _in_range(found: Description, expected: Expectations) -> DataCheck:
    """Compare each column by name; the one that reaches furthest outside is told."""
    allowed = {r.column: r for r in expected.ranges}
    columns = [c for c in found.ranges if c.name in allowed]
    outside = [c for c in columns if c.low < allowed[c.name].low or c.high > allowed[c.name].high]
    told = (outside or columns or found.ranges)[0]
    limit = allowed.get(told.name)
    wanted = f"{limit.low:.6g} to {limit.high:.6g}" if limit else "not recorded"
    return DataCheck("range", f"{told.name} {told.low:.6g} to {told.high:.6g}", wanted, bool(columns) and not outside)


def _balance(found: Description, expected: Expectations) -> DataCheck:
    """Tell the class whose share is smallest beside the least that it may have."""
    least = {name: share for name, share in zip(expected.classes, expected.class_shares, strict=False) if share > 0}
    shares = {name: found.classes.get(name, 0) / found.samples for name in least}
    if not shares:
        return DataCheck("class balance", "no class is known", "those recorded", False)
    worst = min(shares, key=lambda name: shares[name] / least[name])
    return DataCheck(
        "class balance",
        f"class {worst}: {shares[worst]:.1%} of samples",
        f"at least {least[worst]:.1%}",
        shares[worst] >= least[worst],
    )


def _share(name: str, count: int, total: int, most: float, of: str) -> DataCheck:
    share = count / total
    return DataCheck(name, f"{count:,} {of}, {share:.2%}", f"at most {most:.2%}", share <= most)


def _form(shape: tuple[int, ...], dtype: str) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"


def _widened(column: str, low: float, high: float, dtype: str) -> Range:
    if np.dtype(dtype) == np.uint8:  # pixels: the type says it all
        return Range(column, 0.0, 255.0)
    margin = MARGIN * (high - low) or abs(high) or 1.0
    return Range(column, low - margin, high + margin)
