"""The project file `edgeml.toml`: what the model is for, when it is good enough, and where everything comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic
from pydantic import Field

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.target import Described, Target, find_target

FILE: Final = "edgeml.toml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Share = Annotated[float, Field(ge=0, le=1)]
Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""A function of the user's own, `module:function`; the module is looked for in the project's folder first."""


class Criterion(Described):
    """When the project counts as a success, on one level.

    Args:
        metric: What is measured, in words or (ml) the metric's name.
        threshold: The value that has to be reached, in the metric's unit.
        direction: Whether the value must be `at least` or `at most` the threshold.
        risk: What happens when it is missed.
    """

    metric: str
    threshold: float
    direction: Literal["at least", "at most"] = "at least"
    risk: str = ""


class Success(Described):
    """Success criteria on the three levels of CRISP-ML(Q); a level that is not stated fails its gate."""

    business: Criterion | None = None
    ml: Criterion | None = None
    economic: Criterion | None = None


class Splits(Described):
    """How samples are shared out, as shares of 1; what is left is the train split. All but train are stratified first."""

    calibration: Share = 0.1
    validation: Share = 0.1
    test: Share = 0.2
    golden: Share = 0.01
    live: Share = 0.0


class DataSection(Described):
    """Where samples come from.

    Args:
        source: A folder of images (a class a folder), an NPZ (`inputs`, `labels`), a CSV, or `module:function`
            that returns (inputs, labels, class names).
        label_column: The CSV's column with the class; default: its last.
        size: Height and width that images are resized to.
        colour: Colour of images.
        splits: Shares of the splits.
        least_per_class: Samples a class needs, over all splits.
        seed: Draws the splits.
    """

    source: str
    label_column: str | None = None
    size: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] | None = None
    colour: Literal["rgb", "grey"] = "rgb"
    splits: Splits = Splits()
    least_per_class: Annotated[int, Field(ge=2)] = 20
    seed: int = 0


class Training(Described):
    """How the network is trained.

    Args:
        network: A network of the zoo, or the user's own `module:build_model` (called with input shape and class count).
        metric: `accuracy`, or the user's own `module:function` of (labels, scores), higher is better.
        epochs: At most so many passes over the train split.
        batch: Samples a step.
        learning_rate: At the start; a cosine takes it to 0.
        weight_decay: AdamW's.
        patience: Epochs without a better validation metric before training stops.
        class_weights: Weigh classes by how rare they are.
        seed: Draws weights and the order of samples.
    """

    network: str = "resnet8"
    metric: str = "accuracy"
    epochs: Annotated[int, Field(ge=1)] = 30
    batch: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    patience: Annotated[int, Field(ge=1)] = 6
    class_weights: bool = True
    seed: int = 0


class Budget(Described):
    """What one target may spend; `None` is unlimited.

    Args:
        size_bytes: The artifact's size.
        latency_ms: Its median latency, one inference.
    """

    size_bytes: Annotated[int, Field(gt=0)] | None = None
    latency_ms: Annotated[float, Field(gt=0)] | None = None


class Compression(Described):
    """How models are made small.

    Args:
        max_drop: Points of accuracy (a point is 0.01) that an artifact may lose against float.
    """

    max_drop: Annotated[float, Field(ge=0, le=100)] = 1.0


class Fleet(Described):
    """How devices report and how the server decides.

    Args:
        window_s: Length of a window.
        drift_threshold: The bias-corrected population stability index above which a feature counts as drifted.
        drift_samples: Answers that are judged at a time; fewer are insufficient.
        drift_hits: Judged spans in a row over the threshold that make an alarm.
        unknown_limit: The share of unknown inputs above which it counts as drift, too.
        retrain_labels: Newly labelled samples that a retrain needs.
        stale_days: Days after which a model that no gate has judged counts as stale.
        silent_after_windows: Windows a device may miss before it is silent.
        canary_share: The share of devices that try a release first; one at least.
        canary_answers: Answers on the canary that the rollout waits for.
        store: Address of the server's database (`postgresql+psycopg://...`); default: SQLite in `fleet/`.
        broker: Address of an MQTT broker to use (`mqtts://user:password@host:8883`); default: the server starts its own.
    """

    window_s: Annotated[float, Field(gt=0)] = 60.0
    drift_threshold: Annotated[float, Field(gt=0)] = 0.2
    drift_samples: Annotated[int, Field(ge=20)] = 100
    drift_hits: Annotated[int, Field(ge=1)] = 2
    unknown_limit: Share = 0.3
    retrain_labels: Annotated[int, Field(ge=1)] = 200
    stale_days: Annotated[float, Field(gt=0)] = 90.0
    silent_after_windows: Annotated[int, Field(ge=1)] = 5
    canary_share: Share = 0.1
    canary_answers: Annotated[int, Field(ge=1)] = 200
    store: str | None = None
    broker: str | None = None


class Project(Described):
    """A project: its file's content, and the folder that it lies in.

    Args:
        root: The folder with `edgeml.toml`, absolute.
        name: The project's name.
        scope: What the model is for, in a sentence or two.
        targets: Names of the targets that it is made for.
        budgets: What each may spend.
    """

    root: Path
    name: Name
    scope: str
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    success: Success = Success()
    data: DataSection
    training: Training = Training()
    compression: Compression = Compression()
    budgets: dict[str, Budget] = Field(default_factory=dict)
    fleet: Fleet = Fleet()

    @property
    def workspace(self) -> Path:
        """`.edgeml/`: content-addressed, safe to delete and rebuild."""
        return self.root / ".edgeml"

    @property
    def ledger(self) -> Path:
        """`lifecycle/ledger.jsonl`."""
        return self.root / "lifecycle" / "ledger.jsonl"

    @property
    def labels(self) -> Path:
        """`labels/`: newly labelled samples that `edgeml data add` received."""
        return self.root / "labels"

    @property
    def fleet_folder(self) -> Path:
        """`fleet/`: the fleet's keys, the server's database, releases and bundles."""
        return self.root / "fleet"

    def target(self, name: str) -> Target:
        """Return a target by name; the project's own folder `targets/` is looked through first."""
        return find_target(name, self.root / "targets")


def load_project(folder: Path = Path()) -> Project:
    """Read the project in `folder`.

    Raises:
        EdgemlError: There is none, or a key or value is wrong; the error has the line, the reason and the nearest right key.
    """
    file = folder / FILE
    try:
        written = tomllib.loads(file.read_text())
        return Project(root=folder.resolve(), **written)
    except (OSError, tomllib.TOMLDecodeError, pydantic.ValidationError) as error:
        raise EdgemlError(str(error), where=str(file), mend="edgeml init writes one that runs") from error
