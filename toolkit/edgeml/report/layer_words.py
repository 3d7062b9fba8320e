"""What the compression report says about single layers: what each costs alone, what became of it, what stays in float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeml.figures import number
from edgeml.report.charts.layers import Layer
from edgeml_compress import Compression, TargetResult
from edgeml_compress.judging.choice import FLOAT
from edgeml_compress.results import LayerSensitivity

MOST_NAMED: Final = 4  # layers of one reason that are named
NO_BREAK: Final = "\u00a0"
QUIET_DB: Final = 40.0  # an error of 1 %


@dataclass(frozen=True)
class Reason:
    """Nodes of which the same is said: what keeps them in float, or what a pass could not do.

    Args:
        reason: Why.
        count: How many.
        names: Their names, as many as a person reads; the number of the others at the end.
    """

    reason: str
    count: int
    names: str


def by_reason(lines: Sequence[str]) -> list[Reason]:
    """Return a candidate's lines about nodes by what they say, the most frequent first.

    Args:
        lines: "Conv conv_3: its weight is no constant with an encoding".
    """
    named: dict[str, list[str]] = {}
    for line in lines:
        name, colon, reason = line.partition(": ")  # a reason may hold another colon, a name does not
        named.setdefault(reason if colon else line, []).append(name if colon else "")
    found = []
    for reason, names in sorted(named.items(), key=lambda item: (-len(item[1]), item[0])):
        more = len(names) - MOST_NAMED
        said = ", ".join(n for n in names[:MOST_NAMED] if n)
        found.append(Reason(reason, len(names), f"{said} and {more:,} more" if more > 0 else said))
    return found


def layers_of(target: TargetResult, *, labelled: bool) -> list[Layer]:
    """Return the layers that were weighed, the quietest first, with what the chosen candidate makes of each."""
    form = {layer.node: layer.form for layer in target.layers}
    return [
        Layer(s.node, s.sqnr_db, loss_in_words(s.loss, labelled=labelled), form.get(s.node, FLOAT))
        for s in target.sensitivity
    ]


def rows_of(target: TargetResult) -> list[tuple[str, str, LayerSensitivity | None, str]]:
    """Return node, operator, cost and form of every layer, in the graph's order where the chosen candidate knows it.

    A layer that never becomes integers (in the body of an If, or of an operator without a kernel) has no cost.
    """
    costs = {s.node: s for s in target.sensitivity}
    known = [(a.node, a.operator, costs.get(a.node), a.form) for a in target.layers]
    return known or [(s.node, s.operator, s, FLOAT) for s in target.sensitivity]


def loss_in_words(loss: float | None, *, labelled: bool) -> str:
    """Return what a layer costs, in the unit of `loss_name`."""
    return number(loss if loss is None or labelled else 100 * loss, 4 if labelled else 2)


def loss_name(*, labelled: bool) -> str:
    """Return the name and unit of the losses."""
    return "loss, nats" if labelled else "error, %"


def grouped(compression: Compression) -> list[list[TargetResult]]:
    """Return the targets that have sensitivities, those together for which they and the layers' forms are the same."""
    groups: dict[tuple[object, ...], list[TargetResult]] = {}
    for target in compression.targets:
        if target.sensitivity:
            groups.setdefault((target.sensitivity, target.layers), []).append(target)
    return list(groups.values())


def verdict(target: TargetResult) -> str:
    """Return which layer costs most, how many are quiet, and what became of the layers: two sentences."""
    loudest = target.sensitivity[-1]
    quiet = sum(s.sqnr_db >= QUIET_DB for s in target.sensitivity)
    count = len(target.sensitivity)
    below = f"; {quiet:,} of {count:,} cost less than 1\u00a0%" if count > 1 else ""
    return f"{loudest.node} costs most, {number(loudest.sqnr_db, 1, 'dB')}{below}. {became(target)}"


def became(target: TargetResult) -> str:
    """Return what the chosen candidate makes of the layers, in a sentence."""
    if target.chosen == FLOAT:
        return "Float was kept, so all layers stay float32."
    counts = Counter(layer.form.partition(" of ")[0] for layer in target.layers).most_common()
    if len(counts) == 1:
        whole = "the only layer is" if counts[0][1] == 1 else f"all {counts[0][1]:,} layers are"
        return f"In {target.chosen} {whole} {counts[0][0]}."
    said = ", ".join(f"{count:,} {form}".replace(" ", NO_BREAK) for form, count in counts)
    return f"In {target.chosen} the {len(target.layers):,} layers are {said}."
