"""The networks that are quantized, each with samples of its own data; trained once, then kept in the cache folder.

`found_networks` gives them one after the other, so that what is not asked for is not trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.progress import SILENT, Progress

Samples = Mapping[str, npt.NDArray[Any]]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Network:
    """A trained network, what it is calibrated on, and what it is judged on.

    Args:
        name: "resnet8 on MNIST-5k", the network and its data.
        model: A float ONNX file.
        calibration: An array an input; the first axis counts samples, which nothing was trained on.
        calibration_labels: Classes, (samples,); only ours takes them.
        test: Like `calibration`; neither trained nor calibrated on.
        test_labels: Classes, (samples,).
    """

    name: str
    model: Path
    calibration: Samples
    calibration_labels: Labels
    test: Samples
    test_labels: Labels

    def with_calibration(self, count: int) -> Network:
        """Return the network with its first `count` calibration samples, or all where there are fewer."""
        fewer = {name: array[:count] for name, array in self.calibration.items()}
        return Network(self.name, self.model, fewer, self.calibration_labels[:count], self.test, self.test_labels)


PROJECT: Final = """
name = "resnet8-mnist"
scope = "A benchmark."
targets = ["x86_64-onnxruntime"]

[data]
source = "mnist-5k"
size = [28, 28]
colour = "grey"

[data.splits]
calibration = 0.1
validation = 0.05
test = 0.4
golden = 0.01

[training]
network = "resnet8"
epochs = 8
batch = 32
learning_rate = 4e-3
"""


def found_networks(words: Sequence[str], folder: Path, progress: Progress = SILENT) -> Iterator[Network]:
    """Yield the networks whose name holds one of `words`, all where there are none; each is trained when its turn comes.

    Raises:
        EdgemlError: There is none, or a network's data is not here.
    """
    found = [make for name, make in NETWORKS.items() if not words or any(word in name for word in words)]
    if not found:
        known = ", ".join(NETWORKS)
        raise EdgemlError("no network's name holds it", where=" ".join(words), mend=f"there are {known}")
    for make in found:
        yield make(folder, progress)


def resnet8_on_mnist(folder: Path, progress: Progress = SILENT) -> Network:
    """Train ResNet-8 on MNIST-5k, or take what was trained before: 2,200 images to learn, 500 to calibrate, 2,000 to judge."""
    import edgeml
    from edgeml.data import prepare
    from edgeml.model import latest_model
    from edgeml.train import train

    home = folder / "resnet8-mnist"
    home.mkdir(parents=True, exist_ok=True)
    write_atomic(home / "edgeml.toml", PROJECT.encode())
    project = edgeml.load_project(home)
    dataset = prepare(project, progress=progress)
    try:
        model = latest_model(project)
    except EdgemlError:
        model = train(project, dataset, progress=progress)
    name = _input_name(model.onnx)
    (calibration, calibration_labels), (test, test_labels) = dataset.ready("calibration"), dataset.ready("test")
    return Network(
        "resnet8 on MNIST-5k", model.onnx, {name: calibration}, calibration_labels, {name: test}, test_labels
    )


def _input_name(model: Path) -> str:
    from edgeml_targets.models import model_tensors, read_model

    return model_tensors(read_model(model))[0][0].name


NETWORKS: Final[Mapping[str, Callable[[Path, Progress], Network]]] = {"resnet8 on MNIST-5k": resnet8_on_mnist}
