"""A network with the samples that it is calibrated and judged on, as this benchmark takes them from the zoo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeml_targets.contract.progress import SILENT, Progress
from peers.zoo import Trained, trained

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
        return replace(self, calibration=fewer, calibration_labels=self.calibration_labels[:count])


def found_networks(words: Sequence[str], folder: Path, progress: Progress = SILENT) -> Iterator[Network]:
    """Yield the zoo's networks whose name holds one of `words`, all where there are none; each is trained when its turn comes.

    Raises:
        EdgemlError: No name holds one of the words, or a package or the folder fails.
    """
    for network in trained(words, folder, progress=progress):
        yield _network(network)


def _network(found: Trained) -> Network:
    calibration, test = found.splits["calibration"], found.splits["test"]
    return Network(
        found.name,
        found.onnx,
        {found.input: calibration.inputs},
        calibration.labels,
        {found.input: test.inputs},
        test.labels,
    )
