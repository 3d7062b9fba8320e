"""One list of checks runs over all networks of the zoo, the next one too."""

from __future__ import annotations

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


@pytest.mark.parametrize(("name", "shape"), CASES, ids=[f"{n}-{'x'.join(map(str, s))}" for n, s in CASES])
def test_torch_its_program_and_every_runtime_agree(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    network = built(name, shape)
    rng = np.random.default_rng(0)
    levels = rng.normal(
        1, 3, (5, *[1] * len(shape))
    )  # samples that differ in more than noise, which averaging takes away
    inputs = rng.normal(levels, 2, (5, *shape)).astype(np.float32)
    with torch.no_grad():
        truth = network(torch.from_numpy(inputs)).numpy()
    ports = (Tensor(INPUT, "float32", (-1, *shape)), Tensor(OUTPUT, "float32", (-1, CLASSES)))
    for file, content in export(network, *ports, name=name).items():
        (tmp_path / file).write_bytes(content)
    worst = {}
    for batch in (1, 5):  # the batch is dynamic in each of them
        found = {"torch": answered("torch", tmp_path / "model.pt2", inputs[:batch])}
        for target in map(find_target, TARGETS):
            artifact = float_artifact(tmp_path / "model.onnx", target, tmp_path)
            found[target.name] = answered(target.runtime, artifact, inputs[:batch])
        worst |= {f"{who}, batch {batch}": float(np.abs(f - truth[:batch]).max()) for who, f in found.items()}
    assert truth.std(0).max() > 100 * TOLERANCE, (
        "scores that hardly depend on the input would agree whatever is computed"
    )
    assert all(difference <= TOLERANCE for difference in worst.values()), worst


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
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    network.train()
    losses = []
    for _ in range(30):
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
        EdgemlError, match="resnet9: no such network; choose one of conv1d, dscnn, resnet8, tabular-mlp"
    ):
        find_network("resnet9")
