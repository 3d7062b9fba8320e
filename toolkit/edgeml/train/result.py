"""What comes out of a training: the network as ONNX and as a torch program, and its manifest."""

from __future__ import annotations

import contextlib
import io
import logging
import platform
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from torch import nn

import edgeml
from edgeml.data.dataset import Dataset
from edgeml.model import ONNX, PROGRAM, Environment, Model, RunManifest, store_model
from edgeml.project import Project
from edgeml.train.checkpoint import Run
from edgeml.train.network import Labels, Metric, network_sha256
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.layout import METADATA_NAME, Metadata, Port
from edgeml_targets.contract.tensors import Tensor

INPUT: Final = "input"
OUTPUT: Final = "scores"
GIT_PATIENCE_S: Final = 5


def store_trained(project: Project, dataset: Dataset, network: nn.Module, run: Run, metric: Metric) -> Model:
    """Export a trained network and store it with its manifest as the project's latest model.

    Raises:
        EdgemlError: The network cannot be exported, or the workspace cannot be written to.
    """
    plan = project.training
    device = str(next(network.parameters()).device)
    shape, classes = dataset.input_shape, len(dataset.classes)
    ports = (Tensor(INPUT, "float32", (-1, *shape)), Tensor(OUTPUT, "float32", (-1, classes)))
    manifest = RunManifest(
        id="",
        made_at=time.time(),
        origin="trained",
        network=plan.network,
        network_sha256=network_sha256(project),
        dataset=dataset.version,
        additions=dataset.additions,
        parameters=msgspec.Raw(plan.model_dump_json().encode()),
        environment=environment(project.root, device),
        seed=plan.seed,
        metric=plan.metric,
        epochs=tuple(run.history),
        best_epoch=run.best_epoch,
        baseline_metric=baseline(dataset, metric),
        validation_metric=run.best_metric,
        input=ports[0],
        output=ports[1],
        classes=dataset.classes,
        weights=sum(p.numel() for p in network.parameters()),
        files={},
    )
    return store_model(project, export(network, *ports, name=plan.network), manifest)


def export(network: nn.Module, given: Tensor, returned: Tensor, *, name: str) -> dict[str, bytes]:
    """Return a network as `model.onnx` and `model.pt2`, in inference mode, on the CPU, with a dynamic batch.

    Args:
        network: It takes one tensor and returns one.
        given, returned: Name and shape of its input and output, -1 for the batch.
        name: What the error names.

    Raises:
        EdgemlError: The network does what torch cannot export.
    """
    network = network.cpu().eval()
    example = (torch.zeros(2, *given.shape[1:]),)  # a batch of 1 would be taken for a constant
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(network, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
            exported = torch.onnx.export(program, input_names=[given.name], output_names=[returned.name], verbose=False)
    except Exception as error:  # torch.export raises whatever the network's own code leads it to
        what = f"cannot be exported: {str(error).strip().splitlines()[0]}"
        raise EdgemlError(
            what, where=name, mend="keep Python's if and for on tensors' values out of forward()"
        ) from error
    if exported is None:
        raise TypeError("torch.onnx.export returned nothing")
    return {ONNX: _onnx_bytes(exported), PROGRAM: _program_bytes(program, given, returned)}


def baseline(dataset: Dataset, metric: Metric) -> float:
    """Return the metric on the validation split of always answering the train split's most frequent class."""
    most = int(np.bincount(dataset.labels[dataset.splits["train"]]).argmax())
    labels: Labels = dataset.labels[dataset.splits["validation"]]
    scores = np.zeros((len(labels), len(dataset.classes)), np.float32)
    scores[:, most] = 1
    return metric(labels, scores)


def environment(root: Path, device: str) -> Environment:
    """Return versions, the machine, and the commit of the repository that `root` lies in."""
    return Environment(
        python=platform.python_version(),
        edgeml=edgeml.__version__,
        numpy=np.__version__,
        torch=str(torch.__version__),
        machine=platform.machine(),
        device=device,
        threads=torch.get_num_threads(),
        git_commit=_git_commit(root),
    )


def _git_commit(root: Path) -> str:
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_PATIENCE_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _onnx_bytes(exported: torch.onnx.ONNXProgram) -> bytes:
    """Return the ONNX file's bytes: the batch axis named so, without the traces of source code on every node."""
    import onnx_ir as ir

    model = exported.model
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    batch = next(value.shape[0] for value in values if value.shape is not None)  # torch calls it s31 or the like
    for value in values:
        value.metadata_props.clear()
        if value.shape is not None:
            value.shape = ir.Shape(["batch" if size == batch else size for size in value.shape])
    for owner in (model, model.graph, *model.graph):
        owner.metadata_props.clear()
    return bytes(exported.model_proto.SerializeToString(deterministic=True))


def _program_bytes(program: torch.export.ExportedProgram, given: Tensor, returned: Tensor) -> bytes:
    names = Metadata(inputs=(Port(given),), outputs=(Port(returned),))
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={METADATA_NAME: names.to_json().decode()})
    return buffer.getvalue()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporter from talking: it warns of operators of packages that are not here, and of its own code."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
