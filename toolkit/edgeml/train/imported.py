"""An ONNX file that was trained elsewhere enters the chain: checked against the dataset, judged, stored as a model."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Final

import msgspec

from edgeml.data.dataset import Dataset
from edgeml.data.preparation import prepare
from edgeml.model import ONNX, Model, RunManifest, store_model
from edgeml.project import Project
from edgeml.train.network import find_metric
from edgeml.train.result import baseline, environment
from edgeml_bench import answers
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.models import model_tensors, read_model
from edgeml_targets.runtimes import installed

RUNTIME: Final = "onnxruntime"
MOST_BYTES: Final = 2 << 30  # what one ONNX file can hold


def import_model(project: Project, path: Path, *, progress: Progress = SILENT) -> Model:
    """Store an ONNX file as the project's latest model, without training, and return it.

    Args:
        project: Its dataset judges the model, by the metric on the validation split.
        path: An ONNX file with one input, as the dataset's are after preprocessing, and an output of a score a class.
        progress: Told of the steps.

    Raises:
        EdgemlError: The file is no ONNX model that can be read, does not fit the dataset, or is 2 GB or larger.
    """
    import onnx_ir as ir

    model = read_model(path)
    dataset = prepare(project)
    progress.begin("Imported")
    given, returned = _ports(*model_tensors(model), dataset, path)
    weights = [w.const_value for w in model.graph.initializers.values() if w.const_value is not None]
    size = sum(w.nbytes for w in weights)
    if size >= MOST_BYTES:
        raise EdgemlError(
            f"{size:,} bytes of weights, less than 2 GB fit one file", where=str(path), mend="compress it"
        )
    metric = find_metric(project)
    inputs, labels = dataset.ready("validation")
    if not installed(RUNTIME):
        raise EdgemlError(f"{RUNTIME} is not installed", where=str(path), mend=f"pip install 'edgeml[{RUNTIME}]'")
    settings = Settings(target="import", runtime=RUNTIME)
    scores = answers(path, settings, {given.name: inputs})[returned.name].reshape(len(labels), -1)
    manifest = RunManifest(
        id="",
        made_at=time.time(),
        origin="imported",
        network=path.name,
        dataset=dataset.version,
        additions=dataset.additions,
        parameters=msgspec.Raw(b"{}"),
        environment=environment(project.root, "cpu"),
        seed=project.training.seed,
        metric=project.training.metric,
        epochs=(),
        best_epoch=0,
        baseline_metric=baseline(dataset, metric),
        validation_metric=metric(labels, scores),
        input=given,
        output=returned,
        classes=dataset.classes,
        weights=sum(w.size for w in weights),
        files={},
    )
    stored = store_model(project, {ONNX: ir.to_proto(model).SerializeToString(deterministic=True)}, manifest)
    progress.end(f"{path.name} as {stored.id}, validation {manifest.metric} {manifest.validation_metric:.3f}")
    return stored


def _ports(
    inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], dataset: Dataset, path: Path
) -> tuple[Tensor, Tensor]:
    """Return the one input and the first output that has a score a class."""
    if len(inputs) != 1 or inputs[0].dtype != "float32":
        what = f"takes {', '.join(f'{t.name} ({t.dtype})' for t in inputs) or 'nothing'}, one float32 input is asked"
        raise EdgemlError(
            what, where=str(path), mend="export it with one input, or use edgeml compress on the file alone"
        )
    given, shape = inputs[0], dataset.input_shape
    fixed = given.shape[1:]
    if len(fixed) != len(shape) or any(a not in (-1, b) for a, b in zip(fixed, shape, strict=True)):
        mend = "set size, colour and layout of [data] to what the model takes"
        raise EdgemlError(f"takes {fixed}, the dataset gives {shape}", where=str(path), mend=mend)
    for output in outputs:
        known = [size for size in output.shape[1:] if size != -1]
        if len(output.shape) > 1 and math.prod(known) == len(dataset.classes) and len(known) == len(output.shape) - 1:
            return given, output
    what = f"no output has the {len(dataset.classes)} scores of {', '.join(dataset.classes)[:60]}"
    raise EdgemlError(what, where=str(path), mend="import a classifier of the dataset's classes")
