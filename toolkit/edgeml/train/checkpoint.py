"""A run's state after each epoch, so that a killed training goes on where it was.

What is random is drawn from (seed, epoch) and the learning rate follows from the step; so weights, the optimizer's
moments and the history are all there is to keep.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import nn

from edgeml.data.dataset import Dataset
from edgeml.model import Epoch
from edgeml.project import Project
from edgeml.train.network import network_sha256
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic

FORMAT: Final = "edgeml checkpoint 1"


@dataclass
class Run:
    """How far a training is: the epochs that were run, and the weights of the best one."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def best_metric(self) -> float:
        """The best validation metric so far; minus infinity before the first epoch."""
        return self.history[self.best_epoch - 1].validation_metric if self.best_epoch else float("-inf")

    def add(self, epoch: Epoch, network: nn.Module) -> None:
        """Add an epoch; when it is better than all before, keep a copy of the weights."""
        better = epoch.validation_metric > self.best_metric
        self.history.append(epoch)
        if better:
            self.best_epoch = epoch.epoch
            self.best_weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def goes_on(self, *, epochs: int, patience: int) -> bool:
        """Tell whether another epoch is to be run."""
        return len(self.history) < epochs and len(self.history) - self.best_epoch < patience


def checkpoint_file(project: Project, dataset: Dataset, device: torch.device) -> Path:
    """Return where a run's checkpoint lies: another dataset, parameter, network or torch makes another run."""
    parameters = project.training.model_dump_json()
    key = [FORMAT, dataset.version, parameters, network_sha256(project), str(torch.__version__), device.type]
    return project.workspace / "checkpoints" / f"{hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:16]}.pt"


def save(file: Path, run: Run, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Replace the checkpoint, whole and durable.

    Raises:
        EdgemlError: The workspace cannot be written to.
    """
    buffer = io.BytesIO()  # torch's own writer tells nothing of a full disk
    state = {
        "history": msgspec.json.encode(run.history).decode(),
        "best_epoch": run.best_epoch,
        "best_weights": run.best_weights,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, buffer)
    write_atomic(file, buffer.getvalue())


def resume(file: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> Run:
    """Return the run that the checkpoint holds and load `network` and `optimizer` with it; a new run where there is none.

    Raises:
        EdgemlError: The checkpoint is damaged.
    """
    if not file.exists():
        return Run()
    device = next(network.parameters()).device
    try:
        state: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        history = msgspec.json.decode(state["history"], type=list[Epoch])
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return Run(history, state["best_epoch"], state["best_weights"])
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, msgspec.MsgspecError) as error:
        raise EdgemlError("a damaged checkpoint", where=str(file), mend="delete it and train again") from error
