"""The project file `edgeml.toml`: what the model is for, when it is good enough, and where everything comes from."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic
from pydantic import Field

from edgeml.project_errors import nearest_key, schema_error, syntax_error, value_error
from edgeml.train.zoo import network_names
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.target import OWN_TARGETS, Described, Target, find_target

FILE: Final = "edgeml.toml"
GATES: Final = Path(__file__).parent / "gates"
STARTER: Final = Path(__file__).parent / "starter" / FILE
IGNORED: Final = b".edgeml/\nfleet/\n"  # for git: the workspace, and the fleet's keys and database
MOST_BYTES: Final = 1 << 20
LEAST_TRAIN: Final = 0.1
FRESH_SHARE: Final = (
    0.3  # of added labels: they judge the challenger and are the next reference; the rest is trained on
)
LEAST_FRESH: Final = 50  # samples that can judge a challenger, and be a reference by themselves
LEAST_RETRAIN_LABELS: Final = 170  # of which FRESH_SHARE is LEAST_FRESH and one more, for rounding
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
    """How samples are shared out, as shares of 1; what is left is trained on. Each class is shared out alike.

    Args:
        calibration: Sets the ranges of integers.
        validation: Stops the training and picks the candidate.
        test: Judges at the end.
        golden: Goes along with every bundle: a device tries itself on it.
        live: Kept for playing the world; nothing else looks at it.
    """

    calibration: Share = 0.1
    validation: Share = 0.1
    test: Share = 0.2
    golden: Share = 0.01
    live: Share = 0.0

    @property
    def train(self) -> float:
        """What is left to be trained on."""
        return 1 - (self.calibration + self.validation + self.test + self.golden + self.live)

    @pydantic.model_validator(mode="after")
    def _leave_some_to_train_on(self) -> Splits:
        if self.train < LEAST_TRAIN:
            raise ValueError(f"the shares leave {self.train:.2f} to train on, {LEAST_TRAIN} at least")
        return self


class DataSection(Described):
    """Where samples come from, and how one becomes an input.

    Args:
        source: A folder of images (a class a folder), an NPZ (`inputs`, `labels`, perhaps `classes`), a CSV,
            `module:function` that returns (inputs, labels, class names), or `mnist-5k` or `japanese-vowels`, which
            packages ship.
        label_column: The CSV's column with the class; default: its last.
        size: Height and width in pixels that images are resized to.
        colour: Colour of images, `rgb` or `grey`.
        layout: Where the network wants an image's channels: `chw` first, `hwc` last.
        scale: What each value is multiplied with; default: 1/255 for images, 1 for the rest.
        mean, std: Subtracted and divided by, in scaled units, one entry or one a channel or column; default: none
            for images, the train split's own for the rest.
        splits: Shares of the splits.
        least_per_class: Samples a class needs, over all splits.
        seed: Draws the splits.
    """

    source: str
    label_column: str | None = None
    size: tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]] | None = None
    colour: Literal["rgb", "grey"] = "rgb"
    layout: Literal["chw", "hwc"] = "chw"
    scale: Annotated[float, Field(gt=0)] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = None
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
        retrain_labels: Newly labelled samples that a retrain needs, 170 at least: 30 % of them judge the challenger.
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
    retrain_labels: Annotated[int, Field(ge=LEAST_RETRAIN_LABELS)] = 200
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
        waivers: Gates whose insufficient verdicts are let through, each with the reason; `fits_budget` where no device's
            latency can be measured here, say. A failed gate cannot be waived.
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
    waivers: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
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
        return find_target(name, self.root / OWN_TARGETS)


def load_project(folder: Path = Path()) -> Project:
    """Read the project in `folder`.

    Raises:
        EdgemlError: There is none, or a key or value is wrong; the error has the line, the reason and the nearest right key.
    """
    file = folder / FILE
    text = _read(file)
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_error(error, text=text, file=file) from error
    if "root" in written:
        raise value_error(["root"], "no such key", nearest_key(["root"], Project), text=text, file=file)
    try:
        project = Project.model_validate({**written, "root": folder.resolve()})
    except pydantic.ValidationError as error:
        raise schema_error(error, Project, text=text, file=file) from error
    for path, wrong in _wrong_names(project):
        raise value_error(path, wrong.what, wrong.mend, text=text, file=file) from wrong
    return project


def init_project(folder: Path, name: str) -> Path:
    """Write a commented `edgeml.toml` that runs as it is, image classification on MNIST-5k, and return its path.

    Args:
        folder: Where; made when it is missing.
        name: The project's name: lower case letters, digits and hyphens, at most 63.

    Raises:
        EdgemlError: There is a project already, the name is none, or the folder cannot be written to.
    """
    file = folder / FILE
    try:
        pydantic.TypeAdapter(Name).validate_python(name)
    except pydantic.ValidationError as error:
        mend = "take lower case letters, digits and hyphens, at most 63"
        raise EdgemlError("no name for a project", where=name, mend=mend) from error
    if file.exists():
        raise EdgemlError("there is a project already", where=str(file), mend="choose another folder")
    write_atomic(file, STARTER.read_text().replace("@NAME@", name).encode())
    ignore = folder / ".gitignore"
    if not ignore.exists():
        write_atomic(ignore, IGNORED)
    return file


def _read(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        mend = "go to a project's folder, or make one with edgeml init"
        raise EdgemlError("no such file", where=str(file), mend=mend) from error
    except OSError as error:
        raise EdgemlError(f"cannot be read: {error.strerror}", where=str(file), mend="check the path") from error
    if len(content) > MOST_BYTES:
        raise EdgemlError(f"{len(content)} bytes, at most {MOST_BYTES}", where=str(file), mend="shorten it")
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise EdgemlError("not a text in UTF-8", where=str(file), mend="save it as UTF-8") from error


def _wrong_names(project: Project) -> Iterator[tuple[list[str | int], EdgemlError]]:
    """Yield what is well formed but names nothing: targets, budgets of other targets, networks."""
    for i, name in enumerate(project.targets):
        try:
            project.target(name)
        except EdgemlError as error:
            yield ["targets", i], EdgemlError(f"{name!r}: {error.what}", where=error.where, mend=error.mend)
    for name in project.budgets:
        if name not in project.targets:
            yield ["budgets", name], EdgemlError("not among the targets", where=name, mend=_near(name, project.targets))
    gates = sorted(file.stem for file in GATES.glob("[a-z]*.py"))
    for name in project.waivers:
        if name not in gates:
            yield ["waivers", name], EdgemlError("no such gate", where=name, mend=_near(name, gates))
    network = project.training.network
    if ":" not in network and network not in network_names():
        mend = _near(network, network_names()) + " Or name your own, module:function"
        yield ["training", "network"], EdgemlError(f"{network!r}: no such network", where=network, mend=mend)


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}"
