"""Every network of the zoo, trained on data of its own: python -m peers.zoo [WORD ...] [--folder FOLDER] [--data FOLDER]

Each is a project in the cache folder, made by edgeml's own `prepare` and `train` from a fixed seed and kept under the hash of
what it was made from, so that a second call trains nothing. The command prints how accurate they are in float.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeml.project import Project

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

ROOT: Final = Path(__file__).parents[2]
DATA_FOLDER: Final = "EDGEML_SHARED_DATA"  # an environment variable
CIFAR: Final = "cifar10-12k.tar.xz"
SPLITS: Final = ("train", "calibration", "validation", "test")
BATCH: Final = 256


@dataclass(frozen=True)
class Split:
    """Samples as the network is fed, float32 (samples, ...), and their classes (samples,)."""

    inputs: Floats
    labels: Labels


@dataclass(frozen=True)
class Trained:
    """A network of the zoo on data of its own.

    Args:
        name: "resnet8 on MNIST-5k".
        onnx: The float model, with a dynamic batch.
        program: The same as a torch program.
        weights: How many parameters it has.
        input: The input's name.
        splits: `train`, `calibration`, `validation` and `test`; no content is in two of them.
        seconds: What its epochs took when it was trained.
    """

    name: str
    onnx: Path
    program: Path
    weights: int
    input: str
    splits: Mapping[str, Split]
    seconds: float


@dataclass(frozen=True)
class Recipe:
    """A network, its data, and how it is trained.

    Args:
        network: Its name in the zoo.
        data: The data's name, a key of `DATA`.
        epochs, batch, learning_rate: As in `edgeml.toml`.
    """

    network: str
    data: str
    epochs: int
    batch: int
    learning_rate: float

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.network} on {self.data}"


RECIPES: Final = (
    Recipe("resnet8", "MNIST-5k", epochs=8, batch=32, learning_rate=4e-3),
    Recipe("resnet8", "CIFAR-10", epochs=12, batch=64, learning_rate=4e-3),
    Recipe("mobilenetv2-small", "MNIST-5k", epochs=12, batch=32, learning_rate=4e-3),
    Recipe("mobilenetv2-small", "CIFAR-10", epochs=14, batch=64, learning_rate=4e-3),
    Recipe("dscnn", "MNIST-5k", epochs=12, batch=32, learning_rate=4e-3),
    Recipe("dscnn", "CIFAR-10", epochs=14, batch=64, learning_rate=4e-3),
    Recipe("conv1d", "JapaneseVowels", epochs=24, batch=16, learning_rate=2e-3),
    Recipe("gru", "JapaneseVowels", epochs=30, batch=16, learning_rate=4e-3),
    Recipe("tiny-transformer", "JapaneseVowels", epochs=24, batch=16, learning_rate=2e-3),
    Recipe("tabular-mlp", "digits", epochs=20, batch=32, learning_rate=4e-3),
)
PROJECT: Final = """\
name = "zoo"
scope = "A benchmark."
targets = ["x86_64-onnxruntime"]

[data]
{data}

[training]
network = "{network}"
epochs = {epochs}
batch = {batch}
learning_rate = {learning_rate}
patience = {epochs}
"""


def trained(
    words: Sequence[str], folder: Path, *, data: Path | None = None, progress: Progress = SILENT
) -> Iterator[Trained]:
    """Yield the networks whose name holds one of `words`, all where there are none, each trained when its turn comes.

    Args:
        words: "gru", "CIFAR".
        folder: The cache.
        data: Where the CIFAR-10 subset lies; default: `$EDGEML_SHARED_DATA`, then `../shared/data` beside the checkout.
        progress: Told of the epochs; and, as a warning, of each network whose data is not here, which is left out.

    Raises:
        EdgemlError: No network's name holds one of the words, or a package or the cache folder fails.
    """
    found = [recipe for recipe in RECIPES if not words or any(word in recipe.name for word in words)]
    if not found:
        mend = f"there are {', '.join(recipe.name for recipe in RECIPES)}"
        raise EdgemlError("no network's name holds it", where=" ".join(words), mend=mend)
    for recipe in found:
        source = DATA[recipe.data](folder, data or shared_data())
        if source is None:
            progress.begin("Left out")
            progress.end(f"{recipe.name}: {CIFAR} is not in {data or shared_data()}; set {DATA_FOLDER}", warning=True)
            continue
        yield _trained(recipe, source, folder, progress)


def shared_data() -> Path:
    """Return where data lies that no package ships."""
    return Path(os.environ.get(DATA_FOLDER) or ROOT.parent / "shared" / "data")


def _trained(recipe: Recipe, source: str, folder: Path, progress: Progress) -> Trained:
    from edgeml.data import prepare
    from edgeml.model import latest_model
    from edgeml.train import train

    project = _project(recipe, source, folder)
    dataset = prepare(project, progress=progress)
    try:
        model = latest_model(project)
    except EdgemlError:
        model = train(project, dataset, progress=progress)
    if model.program is None:
        raise TypeError(f"{model.id} was not trained here")
    splits = {name: Split(*dataset.ready(name)) for name in SPLITS}
    said = model.manifest
    seconds = sum(epoch.seconds for epoch in said.epochs)
    return Trained(recipe.name, model.onnx, model.program, said.weights, said.input.name, splits, seconds)


def _project(recipe: Recipe, source: str, folder: Path) -> Project:
    """Return the project of a recipe; another recipe or another network file makes another one."""
    from edgeml import load_project

    text = PROJECT.format(
        data=source,
        network=recipe.network,
        epochs=recipe.epochs,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
    )
    found = importlib.util.find_spec(f"edgeml.train.zoo.{recipe.network.replace('-', '_')}")
    if found is None or found.origin is None:
        raise EdgemlError("no such network", where=recipe.network, mend="name a file of toolkit/edgeml/train/zoo")
    key = hashlib.sha256(text.encode() + Path(found.origin).read_bytes()).hexdigest()[:8]
    home = folder / f"{recipe.network}-{recipe.data}-{key}"
    home.mkdir(parents=True, exist_ok=True)
    write_atomic(home / "edgeml.toml", text.encode())
    return load_project(home)


def _mnist(folder: Path, shared: Path) -> str:
    return 'source = "mnist-5k"\nsize = [28, 28]\ncolour = "grey"\n' + _shares(
        calibration=0.1, validation=0.1, test=0.3
    )


def _cifar(folder: Path, shared: Path) -> str | None:
    """Return the section for the CIFAR-10 subset, unpacked into the cache once; `None` where its archive is not."""
    archive, home = shared / CIFAR, folder / "cifar10-12k"
    if not home.is_dir():
        if not archive.is_file():
            return None
        _unpack(archive, home)
    return 'source = "../cifar10-12k"\n' + _shares(calibration=0.05, validation=0.08, test=0.25)


def _unpack(archive: Path, home: Path) -> None:
    """Write the images as CLASS/SPLIT-NUMBER.jpg: the archive's own two splits are drawn from one set, and are pooled."""
    part = home.with_suffix(".part")
    with tarfile.open(archive) as file:
        for member in file:
            content = file.extractfile(member)
            if content is not None:
                split, of_class, image = Path(member.name).parts[-3:]
                (part / of_class).mkdir(parents=True, exist_ok=True)
                (part / of_class / f"{split}-{image}").write_bytes(content.read())
    part.rename(home)


def _vowels(folder: Path, shared: Path) -> str:
    return 'source = "japanese-vowels"\n' + _shares(calibration=0.1, validation=0.15, test=0.35)


def _digits(folder: Path, shared: Path) -> str:
    """Return the section for scikit-learn's 1,797 digits of 8 x 8 pixels, as rows of 64 numbers."""
    from sklearn.datasets import load_digits

    file = folder / "digits.npz"
    if not file.is_file():
        found = load_digits()
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, inputs=found.data.astype(np.float32), labels=found.target.astype(np.int64))
    return 'source = "../digits.npz"\n' + _shares(calibration=0.1, validation=0.1, test=0.4)


def _shares(*, calibration: float, validation: float, test: float) -> str:
    return f"\n[data.splits]\ncalibration = {calibration}\nvalidation = {validation}\ntest = {test}"


DATA: Final[Mapping[str, Callable[[Path, Path], str | None]]] = {
    "MNIST-5k": _mnist,
    "CIFAR-10": _cifar,
    "JapaneseVowels": _vowels,
    "digits": _digits,
}
"""Each data set's name, and what writes its section of the project file."""


def accuracy(artifact: Path, runtime: str, given: str, split: Split) -> float:
    """Return the share of a split that an artifact gets right, 0 to 1."""
    from edgeml_targets.contract.settings import Settings
    from edgeml_targets.runtimes import find_runtime

    session = find_runtime(runtime).load(artifact, Settings(target="zoo", runtime=runtime))
    try:
        parts = [
            session.run({given: split.inputs[start : start + BATCH]})[session.outputs[0].name].argmax(1)
            for start in range(0, len(split.labels), BATCH)
        ]
    finally:
        session.close()
    return float((np.concatenate(parts) == split.labels).mean())


def main() -> int:
    """Train what is asked for and print a line for each."""
    from edgeml.cli.terminal import Steps, say_error

    parser = argparse.ArgumentParser(prog="python -m peers.zoo", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="networks whose name holds a word")
    parser.add_argument("--folder", type=Path, default=ROOT / ".peers" / "networks", help="the cache folder")
    parser.add_argument("--data", type=Path, help=f"where {CIFAR} lies")
    asked = parser.parse_args()
    began = time.monotonic()
    print(f"{'network':32} {'weights':>8} {'kB':>5} {'test':>6} {'torch':>7} {'ONNX':>7} {'trained in s':>13}")
    try:
        for network in trained(asked.words, asked.folder.resolve(), data=asked.data, progress=Steps()):
            print(_line(network), flush=True)
    except EdgemlError as error:
        say_error(str(error))
        return 2
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


def _line(network: Trained) -> str:
    test = network.splits["test"]
    torch, onnx = (
        accuracy(artifact, runtime, network.input, test)
        for artifact, runtime in ((network.program, "torch"), (network.onnx, "onnxruntime"))
    )
    line = f"{network.name:32} {network.weights:8,} {network.onnx.stat().st_size / 1000:5.0f} {len(test.labels):6,}"
    return f"{line} {torch:7.2%} {onnx:7.2%} {network.seconds:13.1f}"


if __name__ == "__main__":
    raise SystemExit(main())
