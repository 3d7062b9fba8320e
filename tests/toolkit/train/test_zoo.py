"""One list of checks runs over all networks of the zoo, the next one too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from edgeml.train.result import INPUT, OUTPUT, export
from edgeml.train.zoo import Network, find_network, network_names
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor
from edgeml_targets.models import float_artifact
from edgeml_targets.runtimes import find_runtime
from edgeml_targets.target import find_target

CLASSES = 7
SHAPES = [(1, 28, 28), (3, 33, 20), (2, 40), (5, 57), (12,), (1,)]
TOLERANCE = 1e-4  # on scores of the order of 1
TARGETS = ["x86_64-onnxruntime", "x86_64-openvino", "x86_64-litert"]
BATCHES = (1, 5)  # the batch is dynamic in each of them


def fitting(name: str) -> list[tuple[int, ...]]:
    return [shape for shape in SHAPES if find_network(name).fits(shape)]


CASES = [(name, shape) for name in network_names() for shape in fitting(name)]


def built(name: str, shape: tuple[int, ...]) -> torch.nn.Module:
    """Return a network whose batch normalization has seen data, so that it is not the identity."""
    torch.manual_seed(3)
    network = find_network(name).build(shape, CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # its statistics are those of all batches, so that signals keep their size
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(3 * torch.randn(16, *shape) + 1)
    return network.eval()


def answered(runtime: str, artifact: Path, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    session = find_runtime(runtime).load(artifact, Settings(target="parity", runtime=runtime))
    try:
        assert [t.name for t in session.inputs] == [INPUT] and [t.name for t in session.outputs] == [OUTPUT]
        scores: npt.NDArray[np.float32] = session.run({INPUT: inputs})[OUTPUT]
        return scores
    finally:
        session.close()


@dataclass(frozen=True)
class Exported:
    """A network's files, and what it answers itself: inputs (5, ...), scores (5, classes)."""

    folder: Path
    inputs: npt.NDArray[np.float32]
    truth: npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=CASES, ids=[f"{n}-{'x'.join(map(str, s))}" for n, s in CASES])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    name, shape = request.param
    network = built(name, shape)
    rng = np.random.default_rng(0)
    levels = rng.normal(
        1, 3, (5, *[1] * len(shape))
    )  # samples that differ in more than noise, which averaging takes away
    inputs = rng.normal(levels, 2, (5, *shape)).astype(np.float32)
    with torch.no_grad():
        truth = network(torch.from_numpy(inputs)).numpy()
    assert truth.std(0).max() > 100 * TOLERANCE, "scores that hardly depend on the input agree whatever is computed"
    ports = (Tensor(INPUT, "float32", (-1, *shape)), Tensor(OUTPUT, "float32", (-1, CLASSES)))
    folder = tmp_path_factory.mktemp(name)
    for file, content in export(network, *ports, name=name).items():
        (folder / file).write_bytes(content)
    return Exported(folder, inputs, truth)


def test_its_program_answers_as_torch_does(exported: Exported) -> None:
    for batch in BATCHES:
        found = answered("torch", exported.folder / "model.pt2", exported.inputs[:batch])
        assert np.abs(found - exported.truth[:batch]).max() <= TOLERANCE


@pytest.mark.parametrize("name", TARGETS)
def test_every_runtime_answers_as_torch_does(name: str, exported: Exported) -> None:
    target = find_target(name)
    artifact = float_artifact(exported.folder / "model.onnx", target, exported.folder)
    for batch in BATCHES:
        found = answered(target.runtime, artifact, exported.inputs[:batch])
        assert np.abs(found - exported.truth[:batch]).max() <= TOLERANCE, batch


@pytest.mark.parametrize("name", network_names())
def test_every_network_says_what_it_takes_and_refuses_the_rest(name: str) -> None:
    network = find_network(name)
    assert isinstance(network, Network) and network.takes and fitting(name)
    assert not network.fits(()) and not network.fits((1, 2, 3, 4))


@pytest.mark.parametrize("name", network_names())
def test_every_network_learns_to_tell_two_samples_apart(name: str) -> None:
    torch.manual_seed(0)
    shape = fitting(name)[0]
    network = find_network(name).build(shape, 2)
    inputs, labels = torch.randn(8, *shape), torch.arange(8) % 2
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    network.train()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.3 * losses[0]


def test_resnet8_has_the_size_that_its_paper_gives() -> None:
    network = find_network("resnet8").build((3, 32, 32), 10)
    assert 77_000 < sum(p.numel() for p in network.parameters()) < 79_000


def test_a_network_that_is_none_is_told() -> None:
    with pytest.raises(
        EdgemlError, match="resnet9: no such network; choose one of conv1d, dscnn, gru, mobilenetv2-small, resnet8, tab"
    ):
        find_network("resnet9")
