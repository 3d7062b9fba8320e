"""Networks as torch.onnx.export(dynamo=True) writes them: folded normalizations, ReduceMean, Reshape, Gemm, Clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.exporters.tflite import convert


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.left = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16))
        self.right = nn.Conv2d(8, 16, 1, stride=2)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(16, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(torch.relu(self.left(x) + self.right(x)))  # type: ignore[no-any-return]


class Signal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(9, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU6(), nn.MaxPool1d(2))
        self.head = nn.Linear(16 * 10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return torch.softmax(self.head(x.view(x.size(0), -1)), -1)


def depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, (10, 4), stride=2, padding=(5, 1)),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.ReLU(),
        nn.Conv2d(16, 24, 1),
        nn.SiLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 12 * 2, 12),
    )


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3))


class Recurrent(nn.Module):
    """Sequences (batch, length, features) to classes, by the last step's answer or by the mean of all."""

    def __init__(self, layer: nn.Module, width: int, *, last: bool) -> None:
        super().__init__()
        self.layer, self.last, self.head = layer, last, nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.layer(x)
        return self.head(y[:, -1] if self.last else y.mean(1))  # type: ignore[no-any-return]


def gru() -> nn.Module:
    return Recurrent(nn.GRU(6, 16, batch_first=True), 16, last=True)


def lstm() -> nn.Module:
    return Recurrent(nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True), 16, last=False)


class Transformer(nn.Module):
    """A projection, learned positions, two blocks of attention and dense layers, the mean over time, classes."""

    def __init__(self, *, norm_first: bool, activation: str) -> None:
        super().__init__()
        self.project = nn.Linear(6, 16)
        self.positions = nn.Parameter(torch.randn(10, 16) / 4)
        block = nn.TransformerEncoderLayer(16, 4, 32, activation=activation, batch_first=True, norm_first=norm_first)
        self.body = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.project(x) + self.positions).mean(1))  # type: ignore[no-any-return]


def upsampling() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4),
        nn.InstanceNorm2d(8, affine=True),
        nn.Mish(),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1),
        nn.PReLU(4),
        nn.PixelShuffle(2),
        nn.ReflectionPad2d(1),
        nn.Conv2d(1, 2, 3),
    )


NETWORKS: Final[Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]]] = {
    "residual": (Residual, (3, 16, 16), 0),
    "signal": (Signal, (9, 20), 0),
    "depthwise": (depthwise, (1, 49, 10), 0),
    "dense": (dense, (8,), 0),
    "gru": (gru, (10, 6), 0),
    "lstm": (lstm, (10, 6), 0),
    "transformer": (lambda: Transformer(norm_first=False, activation="relu"), (10, 6), 10),
    "transformer, norms first": (lambda: Transformer(norm_first=True, activation="gelu"), (10, 6), 10),
    "upsampling": (upsampling, (3, 16, 16), 0),
}


def exported(module: nn.Module, shape: tuple[int, ...]) -> Any:
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    example = (torch.randn(2, *shape),)
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(module, example, dynamo=True, dynamic_shapes=batch, verbose=False)
    assert program is not None
    return program.model_proto


SLOW: Final = ("lstm", "transformer")  # the exporter takes seconds


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in NETWORKS])
def test_what_torch_exports_answers_as_torch(parity: Any, name: str) -> None:
    build, shape, transposes = NETWORKS[name]
    torch.manual_seed(0)
    module = build()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):  # statistics that matter, so that folding is seen
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(layer.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    module.eval()
    model = exported(module, shape)
    assert convert(ir.from_proto(model), Encodings()).transposes == transposes
    given, answered = model.graph.input[0].name, model.graph.output[0].name
    for batch in (1, 5):
        x = torch.randn(batch, *shape)
        wanted = module(x).detach().numpy()
        found = parity.litert(model, {given: x.numpy()})[answered]
        np.testing.assert_allclose(found, wanted, atol=1e-5, rtol=1e-4)
