"""How often each class is answered, against the validation split."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeml.figures import number, signed
from edgeml_agent.messages import Window
from edgeml_targets.contract.bundle import Manifest

MOST_ROWS: Final = 10
LOG_ABOVE: Final = 0.6  # where one class has more than this share, the others need a logarithm to be seen
LOG_FROM: Final = 0.003


@dataclass(frozen=True)
class Row:
    """One class: its shares in percent, in words, and where they lie on the axis, 0 to 100."""

    name: str
    reference: str
    now: str
    change: str
    x_reference: float
    x_now: float


@dataclass(frozen=True)
class Classes:
    """The card.

    Args:
        rows: The most frequent classes; of more than ten those that changed most.
        ticks: (place, words) of the axis.
        logarithmic: Whether the axis is.
        told: What it comes to, in a sentence.
        detail: What that rests on.
        more: How many classes are left out.
    """

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool
    told: str
    detail: str
    more: int


def compare_classes(
    windows: Sequence[Window], manifests: Mapping[str, Manifest], effect: Sequence[float] | None
) -> Classes | None:
    """Compare the classes that were answered with the reference; `None` without answers or reference."""
    labels = next((manifests[w.target].labels for w in windows if w.target in manifests), ())
    alike = {t for t, m in manifests.items() if m.labels == labels and len(m.reference.classes) == len(labels)}
    fitting = [w for w in windows if w.target in alike and len(w.classes) == len(labels)]
    if not fitting:
        return None
    now = np.asarray([w.classes for w in fitting], np.float64).sum(0)
    then = np.asarray([manifests[t].reference.classes for t in {w.target for w in fitting}], np.float64).sum(0)
    if not now.sum() or not then.sum():
        return None
    now_shares, then_shares = now / now.sum(), then / then.sum()
    change = now_shares - then_shares
    chosen = np.argsort(-np.abs(change))[:MOST_ROWS] if len(labels) > MOST_ROWS else np.arange(len(labels))
    chosen = chosen[np.argsort(-then_shares[chosen], kind="stable")]
    highest = float(max(now_shares.max(), then_shares.max()))
    axis = _Axis(highest)
    rows = tuple(
        Row(
            labels[i],
            number(100 * then_shares[i], 1),
            number(100 * now_shares[i], 1),
            signed(round(100 * change[i], 1) + 0.0, 1),
            axis.place(float(then_shares[i])),
            axis.place(float(now_shares[i])),
        )
        for i in chosen
    )
    told, detail = _sentence(labels, now_shares, then_shares, effect, int(now.sum()))
    return Classes(rows, axis.ticks(), axis.logarithmic, told, detail, len(labels) - len(rows))


class _Axis:
    """Shares on an axis from 0 to a round figure, or logarithmic up to 100 %."""

    def __init__(self, highest: float) -> None:
        self.logarithmic = highest > LOG_ABOVE
        self._top = next(t for t in (0.1, 0.2, 0.3, 0.4, 0.6, 1.0) if t >= highest or t == 1.0)

    def place(self, share: float) -> float:
        if self.logarithmic:
            return 100 * math.log(max(share, LOG_FROM) / LOG_FROM) / math.log(1 / LOG_FROM)
        return 100 * share / self._top

    def ticks(self) -> tuple[tuple[float, str], ...]:
        shares = (0.01, 0.1, 1.0) if self.logarithmic else (0.0, self._top / 2, self._top)
        return tuple((self.place(share), f"{100 * share:g}") for share in shares)


def _sentence(
    labels: Sequence[str], now: np.ndarray, then: np.ndarray, effect: Sequence[float] | None, answers: int
) -> tuple[str, str]:
    on = f"On {answers:,} answers"
    if effect is None:
        return "Not judged yet.", f"{on}."
    held = f"effect {number(effect[0], 2)} PSI, threshold {number(effect[1], 2)}"
    if effect[0] <= effect[1]:
        return "The shares are within their threshold.", f"{on}, {held}."
    ratio = (now + 0.5 / answers) / (then + 0.5 / answers)
    most = int(np.argmax(np.abs(np.log(ratio)) * np.maximum(now, then)))
    times = ratio[most] if ratio[most] > 1 else 1 / ratio[most]
    return (
        f"“{labels[most]}” is answered {number(times, 1)} times {'as often' if ratio[most] > 1 else 'less often'}.",
        f"{on}, {held}.",
    )
