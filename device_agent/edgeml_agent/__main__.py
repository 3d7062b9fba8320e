"""`python -m edgeml_agent run --folder PATH`: the agent without the toolkit, and the self-test of one slot.

Exit code 0 after SIGTERM or SIGINT, 2 when the folder cannot be run; one line on standard error says why.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import msgspec

from edgeml_targets.contract.errors import EdgemlError


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m edgeml_agent", description="The agent that runs on a device.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="answer samples and tell the server, until SIGTERM")
    running.add_argument("--folder", type=Path, required=True, help="the device's folder")
    testing = commands.add_parser("selftest", help="try the bundle in a slot on its golden samples; prints JSON")
    testing.add_argument("--slot", type=Path, required=True, help="the slot's folder")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if asked.command == "run":
            from edgeml_agent.agent import run  # a self-test needs neither MQTT nor HTTP

            run(asked.folder)
        else:
            _self_test(asked.slot)
    except EdgemlError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


def _self_test(slot: Path) -> None:
    from edgeml_agent.infer import load_engine
    from edgeml_agent.selftest import self_test
    from edgeml_targets.contract.bundle import load_bundle

    engine = load_engine(slot.name, load_bundle(slot))
    verdict = msgspec.json.encode(self_test(engine))
    sys.stdout.buffer.write(b"\n" + verdict + b"\n")  # a line of its own: some runtimes talk
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
