"""RESULTS.md, written from the journal's lines alone: no figure is typed by hand."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from edgeml_bench.statistics import Estimate
from peers.comparing import Row
from peers.measured import Described, Journal, Made, Raced, Session
from peers.verdicts import Word

RUNTIMES: Final = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "litert": "LiteRT"}
HEAD: Final = "# Ours beside the peers\n"
READING: Final = """## How to read it
- Every quantizer got the same float model and the same calibration samples, in a process and an environment of its own, one at a time. Ours also got the samples' labels, and holds a third of the samples back to choose by; peers use all samples for ranges.
- Top-1 is of the artifact in the runtime it is meant for, on a test split that nobody has seen. `ours - it` is the paired difference in points with its 95 % interval (Tango); p is McNemar's exact, corrected by Holm over all comparisons on this page. `insufficient`: the interval reaches below -1 point, and the split cannot tell.
- Latency: batch 1, all artifacts of one network and runtime in turns in one process, each loaded anew ten times. `ours / it` is the ratio of the medians with its 95 % interval; `worse` begins where the interval lies above 1.02, `better` where it lies below 1 and the ratio below 0.99.
- Seconds and memory are of the whole quantizing process, imports included. Ours times its candidates, in processes that it starts, before it chooses; peers do not. Where neighbours share the cores, the CPU's seconds tell more than the clock's.
- Ours for x86 are portable artifacts, which answer alike on CPUs with and without VNNI; peers' defaults promise no such thing.
"""


def results(journal: Journal, rows: Sequence[Row], sections: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        journal: What was measured.
        rows: Made of it by `comparing.rows_of`.
        sections: Further sections, from other benchmarks in this folder.
    """
    parts = [
        HEAD,
        _origin(journal, rows),
        f"**{summary(rows)}**\n",
        "## Where ours loses\n" + "\n".join(losses(rows)) + "\n",
        *[_network(journal, name, [r for r in rows if r.network == name]) for name in journal.networks()],
        "## Seconds and memory\n" + _costs(rows),
        *(f"{section.rstrip()}\n" for section in sections),
        READING,
        "## The calls\n" + "\n".join(_calls(rows)) + "\n",
    ]
    return "\n".join(parts)


def summary(rows: Sequence[Row]) -> str:
    """Return the whole in a few sentences, all counted from the rows."""
    compared = [r for r in rows if r.gain is not None]
    if not compared:
        return "Nothing was compared yet."
    networks, peers = ({getattr(r, name) for r in compared} for name in ("network", "entrant"))
    accuracy, latency = (_tally([getattr(r, name) for r in compared]) for name in ("accuracy_word", "latency_word"))
    lost, won = (sum(getattr(r, name) for r in compared) for name in ("lost", "won"))
    return (
        f"Over {len(compared)} comparisons ({_counted(len(networks), 'network')}, {_counted(len(peers), 'peer')}): "
        f"accuracy {accuracy}; latency {latency}. "
        f"Better in one of the two and worse in neither: {won} of {len(compared)}; worse in one: {lost}."
    )


def losses(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each comparison that ours loses, then for each network that ours could not compress."""
    found = False
    for row in sorted((r for r in rows if r.lost), key=_loss, reverse=True):
        found = True
        parts = []
        if row.accuracy_word is Word.WORSE and row.gain is not None:
            parts.append(f"accuracy {_points(row)} points (p {row.corrected_p:.2g})")
        if row.latency_word is Word.WORSE:
            parts.append(f"latency {_ratio(row.ratio)} times")
        yield f"- {row.network}, {RUNTIMES[row.runtime]}, against {_title(row)}: {', '.join(parts)}."
    for row in rows:
        if row.quantizer is not None and row.quantizer.is_ours and row.error:
            found = True
            yield f"- {row.network}, {RUNTIMES[row.runtime]}: ours stopped: {row.error}"
    if not found:
        yield "Nowhere in what was measured here."


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a `|` within a cell is escaped."""
    lines = [list(header), ["---"] * len(header), *(list(row) for row in rows)]
    return "".join("| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in line) + " |\n" for line in lines)


def _loss(row: Row) -> float:
    points = -row.gain.points if row.gain is not None and row.accuracy_word is Word.WORSE else 0.0
    return points + (100 * (row.ratio.value - 1) if row.ratio is not None and row.latency_word is Word.WORSE else 0.0)


def _origin(journal: Journal, rows: Sequence[Row]) -> str:
    sessions = _made_ours(journal.sessions(), rows)
    here = sessions[-1].machine
    commits = list(dict.fromkeys(s.commit for s in sessions))
    versions = dict.fromkeys(
        f"{r.quantizer.title.split()[0] if r.quantizer.is_ours else r.quantizer.venv} {r.made.version}"
        for r in rows
        if r.quantizer is not None and r.made is not None and r.made.version
    )
    races = [journal.find(Raced, n, r) for n in journal.networks() for r in RUNTIMES]
    runtimes = dict.fromkeys(f"{RUNTIMES[r.runtime]} {r.version}" for r in races if r is not None)
    threads = dict.fromkeys(_counted(r.threads, "thread") for r in races if r is not None)
    days = sorted({s.began_at[:10] for s in sessions})
    return (
        f"Made by `make bench-peers`, {' to '.join(dict.fromkeys([days[0], days[-1]]))}, at {_listed('commit', commits)}. "
        f"{here.cpu}, {_counted(here.cores, 'core')} ({', '.join(here.features)}), {here.system}, Python {here.python}. "
        f"Raced with {', '.join(threads) or 'nothing yet'} in {', '.join(runtimes) or 'no runtime'}. "
        f"Quantizers: {', '.join(versions)}.\n\nNetworks in it: {', '.join(journal.networks())}.\n"
    )


def _made_ours(sessions: Sequence[Session], rows: Sequence[Row]) -> list[Session]:
    """Return the sessions in which what the page tells of ours was made, oldest first; all where it tells nothing yet."""
    ours = [r.made.made_at for r in rows if r.made is not None and r.quantizer is not None and r.quantizer.is_ours]
    made_in = {max((s.began_at for s in sessions if s.began_at <= made_at), default="") for made_at in ours if made_at}
    return [s for s in sessions if s.began_at in made_in] or list(sessions)


def _network(journal: Journal, name: str, rows: Sequence[Row]) -> str:
    described = journal.find(Described, name)
    assert described is not None
    said = (
        f"## {name}\n{described.parameters:,} parameters, {described.calibration_samples:,} calibration samples, "
        f"{described.test_samples:,} test samples.\n\n"
    )
    header = "runtime, quantizer|top-1 %|ours - it, points|p|accuracy|kB|p50 us|of float|ours / it|latency".split("|")
    notes = [f"- {_title(r)} on {RUNTIMES[r.runtime]}: {r.error}" for r in rows if r.error]
    chosen = [
        f"- Ours on {RUNTIMES[r.runtime]} is `{r.made.details['chosen']}`: {r.made.details.get('reason', '')}."
        for r in rows
        if r.made is not None and "chosen" in r.made.details
    ]
    races = [journal.find(Raced, name, runtime) for runtime in RUNTIMES]
    disturbed = dict.fromkeys(
        f"- {RUNTIMES[r.runtime]}'s race: {note}" for r in races if r is not None for note in r.notes
    )
    after = [*chosen, *notes, *disturbed]
    return said + table(header, [_cells(r) for r in rows]) + ("\n" + "\n".join(after) + "\n" if after else "")


def _cells(row: Row) -> list[str]:
    who = f"{RUNTIMES[row.runtime]}, {_title(row)}"
    if row.error:
        return [who, "failed", *[""] * 8]
    return [
        f"**{who}**" if row.quantizer is not None and row.quantizer.is_ours else who,
        "" if row.accuracy is None else f"{100 * row.accuracy:.2f}",
        _points(row),
        "" if row.gain is None else f"{row.corrected_p:.2g}",
        row.accuracy_word.value if row.accuracy_word else "",
        "" if row.size_bytes is None else f"{row.size_bytes / 1000:.1f}",
        "" if row.p50_us is None else f"{row.p50_us:.0f}",
        "" if row.over_float is None else f"{row.over_float.value:.2f}",
        _ratio(row.ratio),
        row.latency_word.value if row.latency_word else "",
    ]


def _costs(rows: Sequence[Row]) -> str:
    made = [(r.quantizer, r.made) for r in rows if r.quantizer is not None and r.made is not None and not r.made.error]
    ours: dict[tuple[str, str], Made] = {}
    for quantizer, found in made:
        if quantizer.is_ours:
            ours.setdefault((found.network, quantizer.runtime), found)
    header = ["network", "runtime, quantizer", "s", "CPU s", "of it measuring", "MB", "CPU s over ours"]
    cells, over, over_making = [], [], []
    for quantizer, found in made:
        beside = ours.get((found.network, quantizer.runtime))
        times = found.cpu_seconds / beside.cpu_seconds if beside and not quantizer.is_ours else None
        if times is not None and beside is not None:
            over.append(times)
            over_making.append(found.cpu_seconds / (beside.cpu_seconds - beside.child_cpu_seconds))
        cells.append(
            [
                found.network,
                f"{RUNTIMES[quantizer.runtime]}, {quantizer.title}",
                f"{found.seconds:.1f}",
                f"{found.cpu_seconds:.1f}",
                f"{found.child_cpu_seconds:.1f}" if quantizer.is_ours else "",
                "" if found.peak_bytes is None else f"{found.peak_bytes / 1e6:.0f}",
                "" if times is None else f"{times:.2f}",
            ]
        )
    if not over:
        return table(header, cells)
    medians = statistics.median(over), statistics.median(over_making)
    end = (
        f"The median peer takes {medians[0]:.2f} times our CPU seconds, {medians[1]:.2f} times those without measuring."
    )
    return f"{table(header, cells)}\n{end}\n"


def _calls(rows: Sequence[Row]) -> Iterator[str]:
    yield from dict.fromkeys(f"- {r.quantizer.title}: `{r.quantizer.call}`" for r in rows if r.quantizer is not None)


def _title(row: Row) -> str:
    return row.quantizer.title if row.quantizer else "float32"


def _points(row: Row) -> str:
    return "" if row.gain is None else f"{row.gain.points:+.2f} [{row.gain.low:+.2f}, {row.gain.high:+.2f}]"


def _ratio(ratio: Estimate | None) -> str:
    return "" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _tally(words: Sequence[Word | None]) -> str:
    return ", ".join(f"{words.count(word)} {word.value}" for word in Word if words.count(word)) or "not compared"


def _listed(noun: str, names: Sequence[str]) -> str:
    return f"{noun}{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
