"""A CSV (or TSV) with a header line: numbers in all columns but one, which holds the class."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgeml.data.sources import Raw, Source, array_preprocessing, file_stamp, index_labels
from edgeml.project import DataSection
from edgeml_targets.contract.errors import EdgemlError


def _read(section: DataSection, root: Path) -> Raw:
    path = root / section.source
    rows: list[list[float]] = []
    labels: list[str] = []
    lines: list[int] = []
    records = _records(path)
    _, header = next(records, (1, []))
    label_at = _label_column(section.label_column, header, path)
    for line, cells in records:
        if len(cells) != len(header):
            what = f"{len(cells)} cells, the header has {len(header)}"
            raise EdgemlError(what, where=f"{path}, line {line}", mend="quote commas inside of cells")
        labels.append(cells.pop(label_at).strip())
        rows.append([_number(cell, f"{path}, line {line}", i, header) for i, cell in enumerate(cells)])
        lines.append(line)
    columns = tuple(name for i, name in enumerate(header) if i != label_at)
    texts = np.array(labels, np.str_)
    indexes, classes = index_labels(texts.astype(np.int64) if _all_integers(labels) else texts, (), str(path))
    return Raw(
        batches=iter([np.array(rows, np.float32).reshape(len(rows), len(columns))]),
        labels=indexes,
        classes=classes,
        preprocessing=array_preprocessing(section),
        place=lambda i: f"{path}, line {lines[i]}",
        columns=columns,
        own_scale=section.mean is None and section.std is None,
    )


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line from 1, cells) of the header and of each row that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        mend = "save it as CSV in UTF-8, with a header line"
        raise EdgemlError(f"no table that can be read: {error}", where=str(path), mend=mend) from error


def _label_column(name: str | None, header: list[str], path: Path) -> int:
    if len(header) < 2:
        raise EdgemlError("fewer than 2 columns", where=f"{path}, line 1", mend="write a header line and commas")
    if name is None:
        return len(header) - 1
    if name not in header:
        mend = f"set label_column to one of {', '.join(header)}"
        raise EdgemlError(f"no column {name!r}", where=f"{path}, line 1", mend=mend)
    return header.index(name)


def _number(cell: str, where: str, index: int, header: list[str]) -> float:
    try:
        return float(cell)
    except ValueError as error:
        column = header[index]
        if not cell.strip():
            raise EdgemlError(
                f"column {column}: empty", where=where, mend="fill it in or take the line away"
            ) from error
        mend = "use a point" if "," in cell else "encode it as a number, or take the column away"
        raise EdgemlError(f"column {column}: {cell[:40]!r} is no number", where=where, mend=mend) from error


def _all_integers(labels: list[str]) -> bool:
    """Tell whether all labels are integers written the one way, so that they sort by value and keep their names."""
    return bool(labels) and all(
        label.removeprefix("-").isascii() and label.lstrip("-").isdigit() and str(int(label)) == label
        for label in labels
    )


SOURCE = Source(
    accepts=lambda source, path: path.suffix in (".csv", ".tsv") and path.is_file(), stamp=file_stamp, read=_read
)
