"""How much each layer costs when it alone computes in integers: what mixed precision is ordered by, and a report shows."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_compress.candidates import static_int8
from edgeml_compress.graph.layers import weights
from edgeml_compress.graph.running import Samples, open_session, run_each
from edgeml_compress.judging.fidelity import Answers, relative_error
from edgeml_compress.recipe import apply
from edgeml_compress.results import LayerSensitivity as LayerSensitivity
from edgeml_compress.source import Labels, Source
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.exporters.onnx import write_graph
from edgeml_targets.target import Scheme

OBSERVER: Final = "minmax"
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
    for done, (node, values) in enumerate(layers.items()):
        got = run_each(open_session(write_graph(source.model, alone(node, full))), source.model, samples)
        error = relative_error(reference, got)
        loss = error if labels is None or before is None else cross_entropy(_first(got), labels) - before
        found.append(
            LayerSensitivity(
                node=str(node.name), operator=node.op_type, values=values, sqnr_db=decibels(error), loss=float(loss)
            )
        )
        progress.advance(done + 1, len(layers), f"{done + 1:,} of {len(layers):,} layers")
    return tuple(sorted(found, key=lambda s: (-s.sqnr_db, s.node)))


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


def _layers(model: ir.Model, full: Encodings) -> dict[ir.Node, int]:
    """Return the nodes whose weight would be an integer together with their input, and how many numbers that weight holds."""
    found: dict[ir.Node, int] = {}
    for name, weight in weights(model).items():
        if name not in full.tensors:
            continue
        for user in {use.node for use in weight.value.uses()}:
            if any(v is not None and not v.is_initializer() and v.name in full.tensors for v in user.inputs):
                found[user] = found.get(user, 0) + weight.values.size
    return found


def _first(answers: Answers) -> npt.NDArray[np.floating]:
    return next(iter(answers.values()))
