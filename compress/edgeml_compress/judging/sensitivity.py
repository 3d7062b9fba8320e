"""How much each layer costs when it alone computes in integers: what mixed precision is ordered by, and a report shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_bench.stacking import stack
from edgeml_compress.candidates import static_int8
from edgeml_compress.graph.layers import name_of, weights
from edgeml_compress.graph.running import Samples, batches, cores, in_turn, open_session
from edgeml_compress.graph.stages import Stages, State
from edgeml_compress.judging.fidelity import Answers, relative_error
from edgeml_compress.recipe import apply
from edgeml_compress.results import LayerSensitivity as LayerSensitivity
from edgeml_compress.source import Labels, Source
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.exporters.onnx import write_graph
from edgeml_targets.target import Scheme

OBSERVER: Final = "minmax"
HELD_BYTES: Final = 128 << 20  # of what stands before a layer, all samples together
MOST_WORKERS: Final = 4  # samples that are run at once
MOST_SQNR_DB: Final = 150.0  # beyond it, the difference is float32's own rounding


def sensitivity(
    source: Source,
    scheme: Scheme,
    samples: Samples,
    reference: Answers,
    *,
    labels: Labels | None = None,
    progress: Progress = SILENT,
) -> tuple[LayerSensitivity, ...]:
    """Quantize each layer with weights alone, run the model, and return what that cost; the quietest first.

    The layers are run in ONNX Runtime whatever the target: it is the order that counts. What a layer costs alone predicts
    only roughly what it costs among others, so a choice by it is checked on the whole.

    Args:
        source: The prepared, calibrated model.
        scheme: How the target wants its integers.
        samples: Validation samples, an array an input; 24 to 48 are enough for the order.
        reference: What the float model answers for them.
        labels: Classes of the samples, (samples,); the first output is read as scores then.
        progress: Told how many layers are done; the caller begins and ends the step.

    Source: Wu et al. 2020, arXiv:2004.09602, section 5.1, there one layer at a time by accuracy.

    Example:
        >>> sensitivity(source, target.scheme, validation, reference)[-1].node
        'conv_1'
    """
    full = apply(static_int8(OBSERVER), source.draft(scheme)).encodings
    layers = _layers(source.model, full)
    before = None if labels is None else cross_entropy(_first(reference), labels)
    found: list[LayerSensitivity] = []
    for node, got in _answers(source.model, list(layers), full, samples) if layers else ():
        error = relative_error(reference, got)
        loss = error if labels is None or before is None else cross_entropy(_first(got), labels) - before
        found.append(
            LayerSensitivity(
                node=str(node.name),
                operator=node.op_type,
                values=layers[node],
                sqnr_db=decibels(error),
                loss=float(loss),
            )
        )
        progress.advance(len(found), len(layers), f"{len(found):,} of {len(layers):,} layers")
    return tuple(sorted(found, key=lambda s: (-s.sqnr_db, s.node)))


def _answers(
    model: ir.Model, layers: Sequence[ir.Node], full: Encodings, samples: Samples
) -> Iterator[tuple[ir.Node, Answers]]:
    """Yield what the model answers with each layer alone in integers, in the order of the stages that they begin in.

    What stands before the layer's stages is held, as many samples as there are; where that is too much, more is run anew.
    """
    stages = Stages(model)
    made = (value for node in model.graph for value in node.outputs)
    values = {name_of(v): v for v in (*model.graph.inputs, *model.graph.initializers.values(), *made)}
    beginning: dict[int, list[tuple[ir.Node, int, Encodings]]] = {}
    for node in layers:
        encodings = alone(node, full)
        first, last = stages.span(_touched(node, [values[name] for name in encodings.tensors]))
        beginning.setdefault(first, []).append((node, last, encodings))
    held, at = [stages.begin(batch.feed) for batch in batches(model, samples, most=1)], 0
    workers = min(cores(), MOST_WORKERS)
    for first in sorted(beginning):
        advance = partial(stages.run, first=at, last=first - 1)
        if len(held) * _size(advance(held[0])) <= HELD_BYTES:
            held, at = list(in_turn(advance, held, workers)), first
        for node, last, encodings in beginning[first]:
            session = open_session(write_graph(stages.part(at, last), encodings))
            yield node, stack(list(in_turn(partial(_rest, stages, session, last), held, workers)))


def _rest(stages: Stages, session: Any, last: int, state: State) -> State:
    """Return one sample's answers, from a session of the stages up to `last` with a layer in integers."""
    return stages.run(stages.run_changed(session, state, last), last + 1, len(stages) - 1)


def alone(node: ir.Node, full: Encodings) -> Encodings:
    """Return the encodings of the tensors around one node, of those that the whole model would have.

    An activation that runtimes fuse into the node belongs to it, since no tensor lies between the two.
    """
    fused = [use.node for value in node.outputs if value.name not in full.tensors for use in value.uses()]
    around = [*node.inputs, *node.outputs, *(value for user in fused for value in user.outputs)]
    names = {value.name for value in around if value is not None and value.name in full.tensors}
    return Encodings(tensors={name: full.tensors[name] for name in sorted(filter(None, names))})


def decibels(relative_error: float) -> float:
    """Return a relative error (0 and up) as a ratio of signal to noise in dB; one that is not finite as -150."""
    if not math.isfinite(relative_error):
        return -MOST_SQNR_DB
    return min(-20 * math.log10(max(relative_error, 1e-30)), MOST_SQNR_DB)


def cross_entropy(scores: npt.NDArray[np.floating], labels: Labels) -> float:
    """Return the mean cross-entropy in nats of scores (samples, classes), logits or probabilities, for the labels (samples,)."""
    from scipy.special import log_softmax

    rows = np.float64(scores).reshape(len(labels), -1)
    probable = np.all(rows >= 0) and np.allclose(rows.sum(axis=1), 1, atol=1e-3)
    logs = np.log(np.maximum(rows, 1e-12)) if probable else rows
    return float(-log_softmax(logs, axis=1)[np.arange(len(labels)), labels].mean())


def _touched(node: ir.Node, encoded: Iterable[ir.Value]) -> set[ir.Node]:
    """Return the nodes that read what is encoded for a layer, and those without which it is not there."""
    found = {node}
    for value in encoded:
        found.update(use.node for use in value.uses())
        producer = value.producer()
        if producer is not None and (value not in node.inputs or value.is_graph_output()):
            found.add(producer)
    return found


def _layers(model: ir.Model, full: Encodings) -> dict[ir.Node, int]:
    """Return the nodes whose weight would be an integer together with their input, and how many numbers that weight holds."""
    found: dict[ir.Node, int] = {}
    for name, weight in weights(model).items():
        if name not in full.tensors:
            continue
        for user in {use.node for use in weight.value.uses() if use.node.graph is model.graph}:
            if any(v is not None and not v.is_initializer() and v.name in full.tensors for v in user.inputs):
                found[user] = found.get(user, 0) + weight.values.size
    return found


def _size(state: State) -> int:
    """Return how many bytes a sample's tensors take; of strings, how many the pointers to them take."""
    return sum(np.asarray(array).nbytes for array in state.values())


def _first(answers: Answers) -> npt.NDArray[np.floating]:
    return next(iter(answers.values()))
