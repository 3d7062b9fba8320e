"""Measured truth: latency and accuracy, their statistics, and verdicts that hold on a noisy machine.

Names are imported when they are first used: a worker that times a model must not pay for what the host needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml_bench.accuracy import Accuracy as Accuracy
    from edgeml_bench.accuracy import Drop as Drop
    from edgeml_bench.accuracy import evaluate as evaluate
    from edgeml_bench.accuracy import paired_drop as paired_drop
    from edgeml_bench.answering import answers as answers
    from edgeml_bench.comparison import Comparison as Comparison
    from edgeml_bench.comparison import compare as compare
    from edgeml_bench.here import obstacle as obstacle
    from edgeml_bench.latency import Measurement as Measurement
    from edgeml_bench.latency import measure as measure
    from edgeml_bench.machines import Machine as Machine
    from edgeml_bench.machines import machine as machine
    from edgeml_bench.racing import Timing as Timing
    from edgeml_bench.racing import race as race

# A module must not have the name of what it exports: importing it would put the module in the function's place.
_HOME: Final = {
    "Accuracy": "accuracy",
    "Comparison": "comparison",
    "Drop": "accuracy",
    "Machine": "machines",
    "Measurement": "latency",
    "Timing": "racing",
    "answers": "answering",
    "compare": "comparison",
    "evaluate": "accuracy",
    "machine": "machines",
    "measure": "latency",
    "obstacle": "here",
    "paired_drop": "accuracy",
    "race": "racing",
}
__all__ = [
    "Accuracy",
    "Comparison",
    "Drop",
    "Machine",
    "Measurement",
    "Timing",
    "answers",
    "compare",
    "evaluate",
    "machine",
    "measure",
    "obstacle",
    "paired_drop",
    "race",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeml_bench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
