"""Measure what each layer costs, when someone asks: the search itself only where it must, and on two samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from edgeml_compress.judging.sensitivity import sensitivity
from edgeml_compress.results import LayerSensitivity, TargetResult
from edgeml_compress.source import CALIBRATION_FILE, CalibrationData, calibrated, read_source, reference_answers
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.target import Target

MOST_SAMPLES: Final = 48  # it is the order of the layers that counts, and each layer is run over all of them


def with_layer_costs(
    results: Sequence[TargetResult],
    model: Path,
    data: CalibrationData,
    targets: Sequence[Target],
    *,
    out: Path,
    progress: Progress = SILENT,
) -> tuple[TargetResult, ...]:
    """Return `results` with the sensitivity of each layer, for the scheme of each target; targets of one scheme share it.

    Args:
        results: What `compress` found.
        model, data, targets, out: What `compress` was given; the calibration that it left in `out` is used.
        progress: Told step by step.

    Raises:
        EdgemlError: The model cannot be read any more.
    """
    progress.begin("Weighed")
    source = calibrated(read_source(model, data.validation), data.ranges, out / CALIBRATION_FILE)
    few = {name: array[:MOST_SAMPLES] for name, array in data.validation.items()}
    labels = None if data.validation_labels is None else data.validation_labels[:MOST_SAMPLES]
    reference = reference_answers(source, few)
    by_scheme = {t.scheme.model_dump_json(): t.scheme for t in targets}
    costs = {
        key: sensitivity(source, scheme, few, reference, labels=labels, progress=progress)
        for key, scheme in by_scheme.items()
    }
    progress.end(_told(next(iter(costs.values()))))
    of_target = {t.name: costs[t.scheme.model_dump_json()] for t in targets}
    return tuple(msgspec.structs.replace(result, sensitivity=of_target[result.target]) for result in results)


def _told(costs: Sequence[LayerSensitivity]) -> str:
    if not costs:
        return "no layer becomes integers"
    layers = f"{len(costs):,} layer{'s' if len(costs) != 1 else ''}"
    return f"{layers} one by one; the one that costs most: {costs[-1].sqnr_db:.1f} dB"
