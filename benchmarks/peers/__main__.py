"""Measure ours beside its peers, and write RESULTS.md: python -m peers [--only NAME ...] [--networks WORD ...] [--samples N]

What was measured is kept in the cache folder, a JSON line each: an interrupted run goes on where it was, and only what
rests on changed code, models or samples is measured again.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgeml.cli.terminal import Steps, say_error
from edgeml_bench import machine
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from peers.comparing import rows_of
from peers.givens import Givens
from peers.listing import all_quantizers, chosen_quantizers
from peers.measured import Journal, Session
from peers.measuring import Bench, measure
from peers.networks import found_networks
from peers.results import results

ROOT: Final = Path(__file__).parents[2]
SECTIONS: Final = (
    "calibration",
    "second_target",
    "foreign",
)  # modules beside this one that may have a `section(folder) -> str`


def main() -> int:
    """Do what the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m peers", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="quantizers, files in quantizers/")
    parser.add_argument("--networks", nargs="*", default=[], metavar="WORD", help="networks whose name holds a word")
    parser.add_argument("--samples", type=int, default=300, help="calibration samples, at most")
    parser.add_argument("--threads", type=int, default=1, help="of one inference in the race")
    parser.add_argument("--folder", type=Path, default=ROOT / ".peers", help="the cache folder")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "RESULTS.md")
    parser.add_argument("--write-only", action="store_true", help="measure nothing, write from what is kept")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    journal = Journal(folder / "results")
    try:
        if not asked.write_only:
            _measure(journal, asked, folder)
    except EdgemlError as error:
        say_error(str(error))
        return 2
    except KeyboardInterrupt:
        say_error("stopped; the same command goes on from here")
        return 130
    page = results(journal, rows_of(journal, all_quantizers()), list(_sections(folder / "results")))
    write_atomic(asked.out, page.encode())
    print(asked.out)
    return 0


def _measure(journal: Journal, asked: argparse.Namespace, folder: Path) -> None:
    quantizers, progress = chosen_quantizers(asked.only), Steps()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    journal.add(Session(machine=machine(), began_at=now, commit=_commit()))
    bench = Bench(journal, folder, asked.threads, progress)
    for network in found_networks(asked.networks, folder / "networks", progress):
        measure(bench, Givens(network.with_calibration(asked.samples), folder / "artifacts"), quantizers)


def _sections(folder: Path) -> Iterator[str]:
    for name in SECTIONS:
        if (Path(__file__).parent / f"{name}.py").is_file():
            section = getattr(importlib.import_module(f"peers.{name}"), "section", None)
            if section is not None and (text := section(folder)):
                yield text


def _commit() -> str:
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    raise SystemExit(main())
