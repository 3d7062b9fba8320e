"""Models: a trained or imported network in the workspace, with the manifest that says how it came about."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from edgeml.project import Project
from edgeml.workspace import publish, scratch
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of, write_atomic
from edgeml_targets.contract.tensors import Tensor

ONNX: Final = "model.onnx"
PROGRAM: Final = "model.pt2"
MANIFEST: Final = "manifest.json"
LATEST: Final = "latest"
ID_DIGITS: Final = 12


class Epoch(msgspec.Struct, frozen=True):
    """One pass over the train split: its mean loss, and the metric on the validation split after it."""

    epoch: int
    loss: float
    validation_metric: float
    learning_rate: float
    seconds: float


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was made with; `git_commit` is the project's, empty where it is in no repository."""

    python: str
    edgeml: str
    numpy: str
    torch: str
    machine: str
    device: str
    threads: int
    git_commit: str


class RunManifest(msgspec.Struct, frozen=True, kw_only=True):
    """How a model came about: enough to make it again.

    Args:
        id: 12 hex digits of the hash of the model's files and of what they were made from.
        made_at: Seconds since 1970, UTC.
        origin: Whether edgeml trained it, or an ONNX file was imported.
        network: The network's name, the user's `module:function`, or the imported file's name.
        network_sha256: Hash of the user's own module; empty for networks that edgeml brings.
        dataset: The version of the dataset that it was trained, or judged, on.
        additions: The ids of the additions in that dataset.
        parameters: The training section of the project file, as JSON.
        environment: Versions and the machine.
        seed: Draws weights and the order of samples.
        metric: The metric's name; higher is better.
        epochs: All that were run; the weights are those of `best_epoch`. Empty for an imported model.
        best_epoch: From 1; 0 for an imported model.
        baseline_metric: The metric on the validation split of always answering the train split's most frequent class.
        validation_metric: The model's own there.
        input, output: The one input and the output with the scores, a score a class.
        classes: The classes' names, in the order of the scores.
        weights: How many numbers were learned, or are stored.
        files: SHA-256 of each file of the model.
    """

    schema: str = "edgeml.model/1"
    id: str
    made_at: float
    origin: Literal["trained", "imported"]
    network: str
    network_sha256: str = ""
    dataset: str
    additions: tuple[str, ...]
    parameters: msgspec.Raw
    environment: Environment
    seed: int
    metric: str
    epochs: tuple[Epoch, ...]
    best_epoch: int
    baseline_metric: float
    validation_metric: float
    input: Tensor
    output: Tensor
    classes: tuple[str, ...]
    weights: int
    files: dict[str, str]


@dataclass(frozen=True)
class Model:
    """A model of the workspace.

    Args:
        id: Its id.
        folder: Where its files lie.
        manifest: How it came about.
    """

    id: str
    folder: Path
    manifest: RunManifest

    @property
    def onnx(self) -> Path:
        """The ONNX file, its batch axis dynamic."""
        return self.folder / ONNX

    @property
    def program(self) -> Path | None:
        """The program of `torch.export`, or `None` for an imported model."""
        return self.folder / PROGRAM if PROGRAM in self.manifest.files else None


def store_model(project: Project, files: Mapping[str, bytes], manifest: RunManifest) -> Model:
    """Store a model, make it the latest, and return it.

    Args:
        project: Its workspace takes it.
        files: Content by name: `model.onnx`, and `model.pt2` where there is a program.
        manifest: Its `id` and `files` are filled in here.

    Raises:
        EdgemlError: The workspace cannot be written to.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    made_from = [hashes[ONNX], manifest.origin, manifest.dataset, manifest.network, manifest.parameters]
    identity = hashlib.sha256(msgspec.json.encode(made_from)).hexdigest()[:ID_DIGITS]
    manifest = msgspec.structs.replace(manifest, id=identity, files=hashes)
    with scratch(models_folder(project)) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        publish(folder, identity)
    write_atomic(models_folder(project) / LATEST, identity.encode())
    return find_model(project, identity)


def latest_model(project: Project) -> Model:
    """Return the model that was trained or imported last.

    Raises:
        EdgemlError: There is none, or its files are damaged.
    """
    try:
        identity = (models_folder(project) / LATEST).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgemlError(
            "no model yet", where=project.name, mend="make one with edgeml train or edgeml import"
        ) from error
    return find_model(project, identity)


def find_model(project: Project, identity: str) -> Model:
    """Return a model by its id.

    Raises:
        EdgemlError: There is none of that id (those that are there are named), or its files are damaged.
    """
    folder = models_folder(project) / identity
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=RunManifest)
        whole = all(sha256_of(folder / name) == sha256 for name, sha256 in manifest.files.items())
    except FileNotFoundError as error:
        known = model_ids(project)
        mend = f"choose one of {', '.join(known)}" if known else "edgeml train makes one"
        raise EdgemlError("no such model in the workspace", where=identity, mend=mend) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EdgemlError(f"no model: {error}", where=str(folder), mend="delete the folder and train again") from error
    if not whole:
        raise EdgemlError("the model's files were changed", where=str(folder), mend="delete the folder and train again")
    return Model(identity, folder, manifest)


def model_ids(project: Project) -> list[str]:
    """Return the ids of the models in the workspace, sorted."""
    return sorted(file.parent.name for file in models_folder(project).glob(f"[0-9a-f]*/{MANIFEST}"))


def models_folder(project: Project) -> Path:
    """Return the folder in which each model has one of its own."""
    return project.workspace / "models"
