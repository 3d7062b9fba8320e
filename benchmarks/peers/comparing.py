"""From the journal's lines to comparisons of ours with each peer: pure. Only lines that rest on one and the same data are paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from edgeml_bench.statistics import Estimate
from peers.listing import Quantizer
from peers.measured import Answered, Described, Journal, Made, Raced
from peers.verdicts import (
    Difference,
    Word,
    accuracy_word,
    difference,
    holm,
    latency_ratio,
    latency_word,
)

FLOAT: Final = "float "
Line = TypeVar("Line", Made, Answered, Raced)


@dataclass(frozen=True)
class Row:
    """One quantizer, or the float model, on one network.

    Args:
        network, runtime: Where.
        quantizer: Who; `None` is the float model.
        made: What it did; `None` for the float model.
        error: Why there is no artifact, or none that runs; empty when there is one.
        accuracy: Share of right answers, 0 to 1.
        size_bytes: The artifact's size; `None` where there is none.
        p50_us: Median latency.
        over_float: Its latency over float's.
        gain: Ours minus this accuracy; `None` for float and for ours.
        corrected_p: McNemar's, by Holm over all comparisons.
        ratio: Ours over this latency.
    """

    network: str
    runtime: str
    quantizer: Quantizer | None
    made: Made | None = None
    error: str = ""
    accuracy: float | None = None
    size_bytes: int | None = None
    p50_us: float | None = None
    over_float: Estimate | None = None
    gain: Difference | None = None
    corrected_p: float = 1.0
    ratio: Estimate | None = None

    @property
    def entrant(self) -> str:
        """Its name in answers and races."""
        return self.quantizer.name if self.quantizer else FLOAT + self.runtime

    @property
    def accuracy_word(self) -> Word | None:
        """Ours against it; `None` where they were not compared."""
        return None if self.gain is None else accuracy_word(self.gain, self.corrected_p)

    @property
    def latency_word(self) -> Word | None:
        """Ours against it; `None` where they were not compared."""
        return None if self.ratio is None else latency_word(self.ratio)

    @property
    def lost(self) -> bool:
        """Whether ours is worse in one of the two."""
        return Word.WORSE in (self.accuracy_word, self.latency_word)

    @property
    def won(self) -> bool:
        """Whether ours is better in one of the two and worse in neither."""
        return not self.lost and Word.BETTER in (self.accuracy_word, self.latency_word)


def rows_of(journal: Journal, quantizers: Sequence[Quantizer]) -> list[Row]:
    """Return a row for the float model and for each quantizer of every network and runtime, ours right after float."""
    found = [row for network in journal.networks() for row in _of_network(journal, network, quantizers)]
    compared = [i for i, row in enumerate(found) if row.gain is not None]
    corrected = holm([row.gain.p for row in found if row.gain is not None])
    for index, p in zip(compared, corrected, strict=True):
        found[index] = replace(found[index], corrected_p=p)
    return found


def _of_network(journal: Journal, network: str, quantizers: Sequence[Quantizer]) -> Iterator[Row]:
    described = journal.find(Described, network)
    assert described is not None  # `networks` lists those that are described
    for runtime in dict.fromkeys(q.runtime for q in quantizers):
        there: list[Quantizer | None] = [None, *(q for q in quantizers if q.runtime == runtime)]
        rows = [_alone(journal, described, runtime, quantizer) for quantizer in there]
        race = _current(journal.find(Raced, network, runtime), described)
        ours = next((r for r in rows if r.quantizer is not None and r.quantizer.is_ours), None)
        for row in rows:
            if row.quantizer is None or row.made is not None:
                yield _beside(journal, _raced(row, race), ours, race)


def _alone(journal: Journal, described: Described, runtime: str, quantizer: Quantizer | None) -> Row:
    row = Row(described.network, runtime, quantizer)
    made = _current(journal.find(Made, described.network, quantizer.name), described) if quantizer else None
    answered = _current(journal.find(Answered, described.network, row.entrant), described)
    if made is not None and made.error:
        return replace(row, made=made, error=made.error)
    if answered is None:
        return replace(row, made=made)
    row = replace(row, made=made, size_bytes=answered.size_bytes, error=answered.error)
    return row if row.error else replace(row, accuracy=float(answered.flags.mean()))


def _raced(row: Row, race: Raced | None) -> Row:
    if race is None or row.entrant not in race.entrants:
        return row
    place = race.entrants.index(row.entrant)
    over = None if place == 0 else latency_ratio(race.medians_us[place], race.medians_us[0])
    return replace(row, p50_us=race.p50_us[place], over_float=over)


def _beside(journal: Journal, row: Row, ours: Row | None, race: Raced | None) -> Row:
    """Return a peer's row with its comparison to ours; other rows as they are."""
    if ours is None or row.quantizer is None or row.quantizer.is_ours or None in (ours.accuracy, row.accuracy):
        return row
    answered = [journal.find(Answered, row.network, entrant) for entrant in (ours.entrant, row.entrant)]
    flags = [a.flags for a in answered if a is not None]
    row = replace(row, gain=difference(flags[0], flags[1]))
    if race is None or not {ours.entrant, row.entrant} <= set(race.entrants):
        return row
    first, second = (race.medians_us[race.entrants.index(entrant)] for entrant in (ours.entrant, row.entrant))
    return replace(row, ratio=latency_ratio(first, second))


def _current(line: Line | None, described: Described) -> Line | None:
    """Return a line that rests on the network and the samples as they are described, else `None`."""
    return line if line is not None and line.key.startswith(described.key) else None
