"""What compression hands on: the document `edgeml.compress/1`. Within a version fields are only added."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from edgeml_bench import Machine

SCHEMA: Final = "edgeml.compress/1"
RESULT: Final = "compression.json"  # beside the artifacts; who calls `compress` writes it, when they are all there

RECIPE_SUFFIX: Final = ".recipe.toml"  # behind an artifact's name, beside it


def recipe_file(artifact: Path) -> Path:
    """Return where the recipe lies that makes an artifact again; beside float32 lies none.

    Example:
        >>> recipe_file(Path("out/x86_64-onnxruntime/kws.int8.onnx")).name
        'kws.int8.onnx.recipe.toml'
    """
    return artifact.with_name(artifact.name + RECIPE_SUFFIX)


class CandidateResult(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate for one target, and what was measured of it.

    Args:
        name: `float32`, `int8`, ...
        artifact: Its file, relative to the current folder; in a written `compression.json` to that file's folder.
        size_bytes: The file's size.
        p50_us: Median latency of one inference; `None` where the target can't be measured here, and when it was not raced.
        accuracy: Share of right answers on the held-back samples, 0 to 1; `None` without labels.
        cosine_min: Worst cosine over outputs and held-back samples, against the float model; `None` when none could be judged.
        accuracy_low, accuracy_high: Ends of the accuracy's 95 % interval.
        drop_points, drop_low, drop_high: Points lost against float on the same samples, with the 95 % interval.
        drop_evidence: What that interval says of the budget: `within`, `beyond`, or `insufficient` when the held-back samples
            are too few to tell; `None` without labels.
        ratio, ratio_low, ratio_high: Its p50 over float's, with the 95 % interval; `None` when it was not raced.
        loads, inferences: What the latency rests on; 0 when it was not raced.
        sha256: The file's.
        recipe: The recipe that makes it again, TOML, as in its `recipe_file`; empty for float32.
        kept: What it computes in float, or could not store smaller, and why, a line a node: "Conv conv_3: its weight is ...". A
            candidate that computes in integers nowhere, or only with scales found at run time, has lines for its layers alone.
        notes: What else its passes could not do, and why: "MatMul fc: has no bias to correct".
    """

    name: str
    artifact: str
    size_bytes: int
    p50_us: float | None = None
    accuracy: float | None = None
    cosine_min: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    drop_points: float | None = None
    drop_low: float | None = None
    drop_high: float | None = None
    drop_evidence: str | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    loads: int = 0
    inferences: int = 0
    sha256: str = ""
    recipe: str = ""
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class LayerSensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """What the model loses when one layer alone computes in integers.

    Args:
        node: The layer's name.
        operator: Its ONNX operator.
        values: How many numbers its weights hold.
        sqnr_db: Signal to quantization noise of the model's outputs, in dB; of several outputs the worst. Higher is quieter.
        loss: With labels the rise of the mean cross-entropy, in nats (below 0: it answers better so); without, the outputs'
            relative error, 0 and up.
    """

    node: str
    operator: str
    values: int
    sqnr_db: float
    loss: float


class LayerForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate makes of one layer.

    Args:
        node: The layer's name.
        operator: Its ONNX operator.
        form: `int8` computes in integers; `int8 dynamic`, too, with scales found at each inference; `int8 weight-only`,
            `int8 in blocks of 32` and `float16` store its weights so and compute in float; `float32` is left as it was.
    """

    node: str
    operator: str
    form: str


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one target takes, beside the float model.

    Args:
        target, title, runtime: The target.
        chosen: The name of the candidate that it takes; the fields up to `cosine_min` are that candidate's.
        reason: Why that one, a sentence without its full stop.
        notes: Sentences for people: what was left out, not measured, or is uncertain.
        candidates: All that were made, float32 among them.
        unmet: Which budget nothing meets, and what the nearest takes; `None` when all are met.
        size_budget_bytes, latency_budget_ms: What the target may spend.
        threads: Threads of one inference.
        runtime_version: The library's version; `None` when it is not installed here.
        layers: What the chosen candidate makes of each layer, in the graph's order; empty for float32.
        sensitivity: What each layer costs alone in integers, the quietest first; empty where it was not measured.
    """

    target: str
    title: str
    runtime: str
    chosen: str
    artifact: str
    size_bytes: int
    p50_us: float | None
    accuracy: float | None
    float_artifact: str
    float_size_bytes: int
    float_p50_us: float | None
    float_accuracy: float | None
    cosine_min: float | None
    notes: tuple[str, ...]
    candidates: tuple[CandidateResult, ...]
    reason: str = ""
    unmet: str | None = None
    size_budget_bytes: int | None = None
    latency_budget_ms: float | None = None
    threads: int = 1
    runtime_version: str | None = None
    layers: tuple[LayerForm, ...] = ()
    sensitivity: tuple[LayerSensitivity, ...] = ()

    def candidate(self, name: str) -> CandidateResult:
        """Return a candidate by name.

        Raises:
            KeyError: There is none of that name.
        """
        for found in self.candidates:
            if found.name == name:
                return found
        raise KeyError(name)


class StepDone(msgspec.Struct, frozen=True):
    """One step of the work, for people: what was done, why, and with what effect; sentences with a full stop, effect a phrase."""

    what: str
    why: str
    effect: str


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """What compression found and made, for all targets.

    Args:
        model: The float model's file; all paths are relative to what `CandidateResult.artifact` is.
        report: The HTML report's file, or `None` while there is none.
        evaluation_samples: Held-back samples, on which every figure rests.
        range_samples, validation_samples: What ranges were drawn from, and chosen by.
        max_drop: Points of accuracy that may be lost.
        labelled: Whether accuracies were measured, or cosines alone.
        steps: What was done, in order.
        parameters: Numbers in the model's weights.
        layers: Operators that hold weights.
        model_sha256, data_sha256: Hashes of what went in; of a model with weights beside it see `edgeml_targets.models.digest_of`.
        machine: Where latency was measured.
        versions: Versions of the runtimes, by name.
        made_at: When, ISO 8601, UTC.
        seconds: How long it all took.
        command: The command line that makes it again; empty from Python.
        preprocessing: What was done to images, in words; empty for arrays.
    """

    schema: str = SCHEMA
    model: str
    report: str | None = None
    evaluation_samples: int
    targets: tuple[TargetResult, ...]
    range_samples: int
    validation_samples: int
    max_drop: float
    labelled: bool
    steps: tuple[StepDone, ...]
    parameters: int
    layers: int
    model_sha256: str
    data_sha256: str
    machine: Machine
    versions: dict[str, str]
    made_at: str
    seconds: float
    command: str = ""
    preprocessing: str = ""

    @property
    def budget_met(self) -> bool:
        """Whether every target's budgets are met."""
        return all(t.unmet is None for t in self.targets)
