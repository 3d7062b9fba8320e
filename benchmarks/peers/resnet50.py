"""Build a network of ResNet-50's shape and size, with random weights: what calibration is timed on.

Usage: python benchmarks/peers/resnet50.py resnet50.onnx

Timing needs the layers, not the answers: 53 convolutions, batch norms already folded, 25.6 million parameters. Weights are
drawn so that the values neither die out nor explode on their way through the blocks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir

STAGES: Final = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, channels inside a block; four times as many leave it
CLASSES: Final = 1000
SIDE_PIXELS: Final = 224
OPSET: Final = 17


class _Builder:
    def __init__(self, seed: int) -> None:
        self.nodes: list[ir.Node] = []
        self.weights: list[ir.Value] = []
        self._random = np.random.default_rng(seed)

    def node(self, op_type: str, inputs: list[ir.Value], **attributes: list[int] | int) -> ir.Value:
        name = f"{op_type.lower()}_{len(self.nodes)}"
        made = ir.node(op_type, inputs, attributes, outputs=[ir.Value(name=name)], name=name)
        self.nodes.append(made)
        return made.outputs[0]

    def weight(self, shape: tuple[int, ...], deviation: float) -> ir.Value:
        array = (self._random.standard_normal(shape) * deviation).astype(np.float32)
        name = f"w{len(self.weights)}"
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT), const_value=tensor)
        self.weights.append(value)
        return value

    def conv(self, x: ir.Value, channels: tuple[int, int], kernel: int, stride: int, gain: float) -> ir.Value:
        shape = (channels[1], channels[0], kernel, kernel)
        weight = self.weight(shape, gain / (channels[0] * kernel * kernel) ** 0.5)
        bias = self.weight((channels[1],), 0.1)
        half = kernel // 2
        return self.node(
            "Conv", [x, weight, bias], kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[half] * 4, group=1
        )

    def block(self, x: ir.Value, outside: int, inside: int, stride: int) -> ir.Value:
        """Return a bottleneck's output, of 4 * inside channels (He et al. 2015, arXiv:1512.03385, figure 5, right)."""
        y = self.node("Relu", [self.conv(x, (outside, inside), 1, 1, 2**0.5)])
        y = self.node("Relu", [self.conv(y, (inside, inside), 3, stride, 2**0.5)])
        y = self.conv(y, (inside, 4 * inside), 1, 1, 0.5)
        short = x if outside == 4 * inside else self.conv(x, (outside, 4 * inside), 1, stride, 1.0)
        return self.node("Relu", [self.node("Add", [y, short])])


def resnet50(seed: int = 0) -> ir.Model:
    """Return the network: `x` [batch, 3, 224, 224] -> `logits` [batch, 1000]."""
    build = _Builder(seed)
    shape = ir.Shape(["batch", 3, SIDE_PIXELS, SIDE_PIXELS])
    x = ir.Value(name="x", shape=shape, type=ir.TensorType(ir.DataType.FLOAT))
    y = build.node("Relu", [build.conv(x, (3, 64), 7, 2, 1.0)])
    y = build.node("MaxPool", [y], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (blocks, inside) in enumerate(STAGES):
        for block in range(blocks):
            y = build.block(y, channels, inside, 2 if stage > 0 and block == 0 else 1)
            channels = 4 * inside
    y = build.node("Flatten", [build.node("GlobalAveragePool", [y])], axis=1)
    weight, bias = build.weight((channels, CLASSES), channels**-0.5), build.weight((CLASSES,), 0.1)
    y = build.node("Gemm", [y, weight, bias])
    y.name, y.shape, y.type = "logits", ir.Shape(["batch", CLASSES]), ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x], [y], nodes=build.nodes, initializers=build.weights, opset_imports={"": OPSET}, name="resnet50"
    )
    return ir.Model(graph, ir_version=8)


def main() -> None:
    """Write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    ir.save(resnet50(), parser.parse_args().file)


if __name__ == "__main__":
    main()
