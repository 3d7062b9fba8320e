"""The network that a project trains, and the metric that it is judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from edgeml.data.dataset import Dataset
from edgeml.functions import call, find_function, source_of
from edgeml.project import Project
from edgeml.train.zoo import find_network
from edgeml_targets.contract.errors import EdgemlError

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Metric = Callable[[Labels, Scores], float]


def build_network(project: Project, dataset: Dataset) -> nn.Module:
    """Return the network that the project names, with fresh weights, drawn from torch's generator.

    Raises:
        EdgemlError: It does not take the dataset's inputs, does not return a score a class, or the user's own function fails.
    """
    name, shape, classes = project.training.network, dataset.input_shape, len(dataset.classes)
    if ":" in name:
        network = call(find_function(name, project.root), name, shape, classes)
        if not isinstance(network, nn.Module):
            what = f"returned a {type(network).__name__}"
            raise EdgemlError(what, where=name, mend="return a torch.nn.Module, called with (input shape, class count)")
    else:
        found = find_network(name)
        if not found.fits(shape):
            mend = f"it takes {found.takes}; choose another network, or give [data] a size"
            raise EdgemlError(f"does not take inputs of {shape}", where=f"training.network = {name}", mend=mend)
        network = found.build(shape, classes)
    _try_out(network, name, shape, classes)
    return network


def network_sha256(project: Project) -> str:
    """Return the hash of the user's own module; empty for the zoo's networks, which come with edgeml's version."""
    source = source_of(project.training.network, project.root) if ":" in project.training.network else b""
    return hashlib.sha256(source).hexdigest() if source else ""


def find_metric(project: Project) -> Metric:
    """Return the metric of (labels (samples,), scores (samples, classes)) that the project names; higher is better.

    Raises:
        EdgemlError: The user's own function is not there.
    """
    name = project.training.metric
    if name == "accuracy":
        return accuracy
    if ":" not in name:
        raise EdgemlError("no such metric", where=f"training.metric = {name}", mend="accuracy, or module:function")
    function = find_function(name, project.root)

    def metric(labels: Labels, scores: Scores) -> float:
        value = call(lambda: float(function(labels, scores)), name)
        if not np.isfinite(value):
            raise EdgemlError(f"returned {value}", where=name, mend="return a finite number, higher is better")
        return float(value)

    return metric


def accuracy(labels: Labels, scores: Scores) -> float:
    """Return the share of samples whose highest score is their label's, 0 to 1."""
    return float((scores.argmax(1) == labels).mean())


def _try_out(network: nn.Module, name: str, shape: tuple[int, ...], classes: int) -> None:
    """Run two samples through, so that a network that does not fit is told before the first epoch."""
    network.eval()
    with torch.no_grad():
        scores = call(lambda: network(torch.zeros(2, *shape)), name)
    given = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if given != (2, classes):
        what = f"returns {given} for 2 samples, (2, {classes}) is asked"
        raise EdgemlError(what, where=name, mend="return one score a class, without a softmax")
