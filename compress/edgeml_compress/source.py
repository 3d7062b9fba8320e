"""What candidates are made of: the float model read, prepared and calibrated."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgeml_bench import answers
from edgeml_compress.calibration import Calibration, calibrate, observed
from edgeml_compress.graph.layers import weights
from edgeml_compress.graph.running import Samples, cores, most_at_once, open_session, run_each
from edgeml_compress.judging.fidelity import Answers, fidelity
from edgeml_compress.passes import Draft
from edgeml_compress.preparation import lift, prepare
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.stored import Rows, blocks
from edgeml_targets.models import files_beside, read_model
from edgeml_targets.runtimes.onnxruntime import errors
from edgeml_targets.target import Scheme

Labels = npt.NDArray[np.integer[Any]]

CALIBRATION_FILE: Final = "calibration.msgpack"
LARGE_BYTES: Final = 4_000_000  # of a float model's file: one inference has enough to do for several cores
TRIED_SAMPLES: Final = 16  # on which preparing must not change the answers
SAME: Final = 0.99999
ALIKE_MEND: Final = "give samples of the kind that the model will see; ranges are drawn from how they differ"
REFERENCE: Final = Settings(target="reference", runtime="onnxruntime")
"""What the float model answers is asked of ONNX Runtime, whatever the target: a fault of an exporter then shows."""


@dataclass(frozen=True)
class CalibrationData:
    """Samples, disjoint, by what they are for; an array an input, the first axis counts samples.

    Args:
        ranges: Ranges are drawn from these.
        validation: Choices on the way are made by these.
        evaluation: Held back: they alone give the figures and the final choice.
        validation_labels, evaluation_labels: Classes, (samples,), counted from 0; `None` without labels.

    Raises:
        EdgemlError: One of the three is empty, its inputs have different numbers of samples, a value is not finite, or all
            samples that ranges are drawn from are the same.
    """

    ranges: Samples
    validation: Samples
    evaluation: Samples
    validation_labels: Labels | None = None
    evaluation_labels: Labels | None = None

    def __post_init__(self) -> None:
        for name in ("ranges", "validation", "evaluation"):
            _check_samples(getattr(self, name), name)
        if all_alike(self.ranges):
            raise EdgemlError("all samples are the same", where="the samples for ranges", mend=ALIKE_MEND)


@dataclass(frozen=True)
class Source:
    """A float model, ready to be compressed.

    Args:
        path: Its file.
        model: Its prepared graph.
        changes: How often each rewrite found something to do while preparing, by its name; empty when all were undone.
        moved: The worst cosine between the answers before and after preparing; 0 where ONNX Runtime refused the graph.
        calibration: What its tensors held.
        samples: What was calibrated on.
        others: Further samples that the model is fed, whatever for: what a format must know is the same in all of them.
        beside: The files of weights beside it, when it has any.
    """

    path: Path
    model: ir.Model
    changes: Mapping[str, int]
    moved: float
    calibration: Calibration = field(default_factory=Calibration)
    samples: Samples | None = None
    others: tuple[Samples, ...] = ()
    beside: tuple[Path, ...] = ()

    @property
    def splits(self) -> tuple[Samples, ...]:
        """All samples that are known."""
        return (*(() if self.samples is None else (self.samples,)), *self.others)

    @property
    def parameters(self) -> int:
        """How many numbers its constants hold."""
        constants = (v.const_value for v in self.model.graph.initializers.values())
        return sum(int(c.size) for c in constants if c is not None)

    @property
    def layers(self) -> int:
        """How many nodes hold weights."""
        return sum(len(w.value.uses()) for w in weights(self.model).values())

    def draft(self, scheme: Scheme) -> Draft:
        """Return a draft for a scheme, to which no pass was applied yet."""
        return Draft(self.model, Encodings(), self.calibration, scheme, samples=self.samples)


def read_source(path: Path, tried: Samples) -> Source:
    """Read and prepare a model; where that would change its answers for the samples `tried`, or ONNX Runtime would not take it
    any more, the graph is left as it is.

    Raises:
        EdgemlError: The model cannot be read, is quantized already or has broken weights, or does not take the samples.
    """
    model, where = read_model(path), str(path)
    few = {name: array[:TRIED_SAMPLES] for name, array in tried.items()}
    plain = lift(model, where=where)  # refuses a model that is quantized already or whose weights are broken
    expected = answers(path, REFERENCE, few)  # refuses, in a line, what ONNX Runtime cannot run
    prepared = prepare(model, where=where)
    try:
        moved = fidelity(expected, run_each(open_session(prepared.model), prepared.model, few)).cosine_min
    except errors():  # the model as it was read runs, this one does not
        moved = 0.0
    if moved is None:  # no answer of these samples can be judged
        moved = 1.0
    graph, changes = (prepared.model, prepared.changes) if moved >= SAME else (plain, {})
    return Source(path, graph, changes, moved, beside=files_beside(model))


def calibrated(source: Source, samples: Samples, saved: Path, progress: Progress = SILENT) -> Source:
    """Return `source` with its calibration: the one in the file `saved` where model and samples are the same, else a new one."""
    # Weights beside the file can change while the file itself stays the same to the byte.
    hashes = [sha256_of(file) for file in (source.path, *source.beside)]
    fingerprint = " ".join([*hashes, hash_of(samples)])
    calibration = _load(saved, fingerprint, source.model)
    if calibration is None:
        calibration = calibrate(source.model, samples, source=fingerprint, progress=progress)
        calibration = msgspec.structs.replace(calibration, at_once=most_at_once(source.model, samples))
    return dataclasses.replace(source, calibration=calibration, samples=samples)


def reference_answers(source: Source, samples: Samples) -> Answers:
    """Return what the float model as it was read answers, in ONNX Runtime; the samples' arrays are as `answers` takes them."""
    return answers(source.path, on_enough_cores(REFERENCE, model_bytes=4 * source.parameters), samples)


def on_enough_cores(settings: Settings, model_bytes: int) -> Settings:
    """Return settings for answers, not for timing: a large float model and what is made of it run on all cores.

    Not several at once instead, on a core each: a session of a network of ResNet-50's size takes half a gigabyte.
    """
    return msgspec.structs.replace(settings, threads=cores()) if model_bytes >= LARGE_BYTES else settings


def check_labels(reference: Answers, labels: Labels | None, where: str, *, name: str) -> None:
    """Refuse labels that the model's first output has no score for.

    Args:
        reference: What the float model answers.
        labels: Classes, or none.
        where: The model's file.
        name: The first output's.

    Raises:
        EdgemlError: A label is below 0, there are not so many scores, or the output has another shape for each sample.
    """
    if labels is None or len(labels) == 0:
        return
    if name not in reference:
        what = f"the labels are read from output {name}, whose shape depends on the data"
        raise EdgemlError(what, where=where, mend="export the model with its scores first, or leave the labels out")
    scores = reference[name]
    classes = int(np.prod(scores.shape[1:], dtype=np.int64))
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise EdgemlError(
            f"the labels go from {low} to {high}, and output {name} has {classes} scores",
            where=where,
            mend="give classes counted from 0, or leave the labels out",
        )


def all_alike(samples: Samples) -> bool:
    """Tell whether two samples or more with values are given and none differs from the first in any input: no range is in them."""
    count = min((len(array) for array in samples.values()), default=0)
    values = any(array.size for array in samples.values())
    return count > 1 and values and all(np.array_equal(a[0], a[i]) for i in range(1, count) for a in samples.values())


def first_broken(array: Rows) -> int | None:
    """Return which sample is the first with a value that is not finite; `None` where all are sound or no floats."""
    if array.dtype.kind != "f":
        return None
    return next((i for i, sample in enumerate(array) if not np.isfinite(sample).all()), None)


def _check_samples(samples: Samples, part: str) -> None:
    where = f"the samples for {part}"
    counts = {len(array) if array.ndim else 0 for array in samples.values()}
    if len(counts) != 1 or any(array.size == 0 for array in samples.values()):
        what = "there are none" if len(counts) < 2 else "the inputs have different numbers of samples"
        raise EdgemlError(what, where=where, mend="give the same number of samples, one or more, for every input")
    for name, array in samples.items():
        broken = first_broken(array)
        if broken is not None:
            what = f"sample {broken} of {name} holds a value that is not finite (NaN or infinity)"
            raise EdgemlError(what, where=where, mend="replace the value or leave the sample out")


def hash_of(samples: Samples) -> str:
    """Return the SHA-256 of samples: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(samples):
        array = samples[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        for block in blocks(array) if array.size else ():
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _load(saved: Path, fingerprint: str, model: ir.Model) -> Calibration | None:
    if not saved.is_file():
        return None
    try:
        found = Calibration.load(saved)
    except EdgemlError:  # written by another version: it is made anew
        return None
    return found if found.source == fingerprint and set(observed(model)) == set(found.tensors) else None
