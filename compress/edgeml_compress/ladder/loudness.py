"""How much each weight alone costs the answers when it is rounded: what decides which stay in half precision.

One session serves all: its weights are inputs, so that a rounded one is fed in place of the float one, and nothing is loaded
again. Where an answer is the softmax or the sigmoid of a score, the score counts: a probability hides most changes and makes
much of one between two that are nearly even.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_bench.stacking import stack
from edgeml_compress.graph.layers import name_of
from edgeml_compress.graph.running import Samples, batches, cores, in_turn, open_session
from edgeml_compress.judging.fidelity import NEXT_TO_NOTHING, SMALL_OUTPUT, shaped_apart

SQUASHES: Final = frozenset({"Softmax", "Sigmoid", "LogSoftmax"})
Arrays = Mapping[str, npt.NDArray[Any]]


def loudness(model: ir.Model, rounded: Arrays, samples: Samples) -> dict[str, float]:
    """Return the worst relative error of the scores with each weight alone rounded, 0 and up; of one that the body of an
    If or Loop holds, 0.

    Args:
        model: A prepared graph.
        rounded: What weights, by name, are once they are rounded.
        samples: A few, an array an input: it is the order that counts.
    """
    outside = {name: values for name, values in rounded.items() if name in model.graph.initializers}
    feeds = [dict(batch.feed) for batch in batches(model, samples, most=1)]
    names = scores(model)
    session = open_session(_with_inputs(model, outside), names)

    def answers(given: Arrays) -> Arrays:
        runs = in_turn(lambda feed: session.run(names, {**feed, **given}), feeds, cores())
        return stack([dict(zip(names, run, strict=True)) for run in runs])

    expected, found = answers({}), dict.fromkeys(rounded, 0.0)
    for name, values in outside.items():
        found[name] = worst_error(expected, answers({name: values}))
    return found


def worst_error(expected: Arrays, got: Arrays) -> float:
    """Return the relative error of the worst sample and output, 0 and up; infinite where an answer is not finite.

    The worst, since it is by the worst that a candidate is judged; an output of few values is taken over all samples.
    """
    worst, apart = 0.0, shaped_apart(expected, got)
    for name, before in expected.items():
        if before.dtype.kind != "f" or before.size == 0 or name in apart:
            continue
        rows = 1 if before[0].size < SMALL_OUTPUT else len(before)
        first, second = (np.float64(a).reshape(rows, -1) for a in (before, got[name]))
        size = np.linalg.norm(first, axis=1)
        judged = size > NEXT_TO_NOTHING * size.max()
        errors = np.linalg.norm(second - first, axis=1)[judged] / size[judged]
        worst = max(worst, float(np.nan_to_num(errors, nan=math.inf, posinf=math.inf).max(initial=0.0)))
    return worst


def scores(model: ir.Model) -> list[str]:
    """Return the names of a graph's float outputs, or of what they are the softmax or the sigmoid of."""
    found = []
    for output in model.graph.outputs:
        producer = output.producer()
        squashed = producer.inputs[0] if producer is not None and producer.op_type in SQUASHES else None
        found.append(name_of(output if squashed is None else squashed))
    return list(dict.fromkeys(found))


def _with_inputs(model: ir.Model, weights: Iterable[str]) -> ir.Model:
    """Return a copy whose weights of these names are inputs, too, with what they hold as the default."""
    copy = model.clone()
    copy.graph.inputs.extend(copy.graph.initializers[name] for name in weights)
    return copy
