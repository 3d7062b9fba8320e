"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from edgeml.data.dataset import Dataset
from edgeml.model import Epoch, Model
from edgeml.project import Project, Training
from edgeml.train.checkpoint import Run, checkpoint_file, resume, save
from edgeml.train.network import build_network, find_metric
from edgeml.train.result import store_trained
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.progress import SILENT, Progress

Labels = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

SCORED_AT_A_TIME: Final = 256


def train(project: Project, dataset: Dataset, *, progress: Progress = SILENT) -> Model:
    """Train the project's network and return it as a model of the workspace: ONNX, torch program, manifest.

    A run that was killed goes on after its last whole epoch and ends, on a CPU, with the very same weights.

    Args:
        project: Its `training` section says what and how.
        dataset: Its train split is learned, its validation split judges and stops.
        progress: Told of epoch, loss and metric.

    Raises:
        EdgemlError: The network does not fit the data, the loss is not finite, a split is empty, the user's own function
            fails, or the workspace cannot be written to.

    Source: Loshchilov and Hutter, 2019, arXiv:1711.05101 (AdamW) and 2017, arXiv:1608.03983 (the cosine).
    """
    plan, metric = project.training, find_metric(project)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _require_samples(dataset)
    progress.begin("Trained")
    with _repeatable(plan.seed):
        network = build_network(project, dataset).to(device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        weights = _class_weights(dataset).to(device) if plan.class_weights else None
        checkpoint = checkpoint_file(project, dataset, device)
        run = resume(checkpoint, network, optimizer)
        while run.goes_on(epochs=plan.epochs, patience=plan.patience):
            epoch, began, losses = len(run.history) + 1, time.monotonic(), []
            network.train()
            batches = _batches(dataset, plan, epoch)
            for step, indexes in enumerate(batches):
                inputs, labels = (torch.from_numpy(array).to(device) for array in dataset.ready_at(indexes))
                rate = _set_rate(optimizer, plan, done=epoch - 1 + step / len(batches))
                optimizer.zero_grad()
                loss = functional.cross_entropy(network(inputs), labels, weights)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(_finite(loss.item(), epoch))
                progress.advance(epoch - 1 + step / len(batches), plan.epochs, _told(plan, run, losses[-1]))
            value = metric(*score(network, dataset, "validation"))
            run.add(Epoch(epoch, float(np.mean(losses)), value, rate, time.monotonic() - began), network)
            save(checkpoint, run, network, optimizer)
        network.load_state_dict(run.best_weights)
    model = store_trained(project, dataset, network, run, metric)
    checkpoint.unlink(missing_ok=True)
    progress.end(_summary(plan, run))
    return model


def score(network: nn.Module, dataset: Dataset, split: str) -> tuple[Labels, Scores]:
    """Return a split's labels (samples,) and the network's scores (samples, classes), in inference mode."""
    device = next(network.parameters()).device
    network.eval()
    scores = []
    with torch.inference_mode():
        for start in range(0, len(dataset.splits[split]), SCORED_AT_A_TIME):
            inputs, _ = dataset.ready_at(dataset.splits[split][start : start + SCORED_AT_A_TIME])
            scores.append(network(torch.from_numpy(inputs).to(device)).float().cpu().numpy())
    return dataset.labels[dataset.splits[split]], np.concatenate(scores)


def _batches(dataset: Dataset, plan: Training, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Return the train split in an order that follows from seed and epoch, so that a resumed run sees the same.

    A last batch of one sample is left out: batch normalization cannot learn from it.
    """
    torch.manual_seed(plan.seed * 1_000_003 + epoch)  # also what dropout draws from
    order = dataset.splits["train"][torch.randperm(len(dataset.splits["train"])).numpy()]
    batches = [order[start : start + plan.batch] for start in range(0, len(order), plan.batch)]
    return [batch for batch in batches if len(batch) > 1]


def _set_rate(optimizer: torch.optim.Optimizer, plan: Training, *, done: float) -> float:
    """Set and return the learning rate after `done` epochs: half a cosine over all of them."""
    rate = plan.learning_rate * 0.5 * (1 + math.cos(math.pi * done / plan.epochs))
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _class_weights(dataset: Dataset) -> torch.Tensor:
    """Return a weight a class, by how rare it is in the train split; samples weigh 1 on average, an absent class nothing."""
    labels = dataset.labels[dataset.splits["train"]]
    counts = np.bincount(labels, minlength=len(dataset.classes))
    balanced = len(labels) / ((counts > 0).sum() * np.maximum(counts, 1))
    return torch.from_numpy(np.where(counts > 0, balanced, 0.0).astype(np.float32))


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        where, mend = "training.learning_rate", "lower it, or look for outliers with edgeml data check"
        raise EdgemlError(f"the loss became {loss} in epoch {epoch}", where=where, mend=mend)
    return loss


def _require_samples(dataset: Dataset) -> None:
    for split, least in (("train", 2), ("validation", 1)):
        if len(dataset.splits[split]) < least:
            what = f"{len(dataset.splits[split])} samples in the {split} split, {least} at least"
            raise EdgemlError(what, where=f"dataset {dataset.version}", mend="add data or change [data.splits]")


@contextlib.contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Draw from `seed` and ask torch for operators that give the same twice; afterwards all is as it was."""
    asked = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(asked, warn_only=warned)


def _told(plan: Training, run: Run, loss: float) -> str:
    told = f"epoch {len(run.history) + 1} of {plan.epochs}, loss {loss:.2f}"
    return f"{told}, {plan.metric} {run.history[-1].validation_metric:.3f}" if run.history else told


def _summary(plan: Training, run: Run) -> str:
    return f"{len(run.history)} epochs, best {run.best_epoch}, validation {plan.metric} {run.best_metric:.3f}"
