"""Small networks as ONNX, and what they answer: in ONNX Runtime, in LiteRT, and with every encoding faked in float."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeml_targets.contract.encodings import Encoding, Encodings, affine, symmetric
from edgeml_targets.contract.files import write_atomic
from edgeml_targets.contract.settings import Settings
from edgeml_targets.exporters.tflite import convert
from edgeml_targets.runtimes import find_runtime

Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]

SETTINGS = Settings(target="x86_64-litert", runtime="litert")
FIXED = {
    "LogSoftmax": (16 / 256, 127),
    "Sigmoid": (1 / 256, -128),
    "Softmax": (1 / 256, -128),
    "Tanh": (1 / 128, 0),
}
KEPT = {
    "DepthToSpace",
    "Expand",
    "Gather",
    "GatherND",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Tile",
    "MaxPool",
    "GlobalMaxPool",
    "ReduceMax",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Identity",
    "Dropout",
}
WEIGHTED = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}


@dataclass
class Network:
    """A network that grows node by node; weights are random with a seed."""

    inputs: Mapping[str, tuple[int | str, ...]]
    seed: int = 0
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output, which is the node's name too."""
        name = f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def add_many(self, op_type: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Add a node of several outputs and return their names."""
        names = [f"{op_type.lower()}_{len(self.nodes)}_{i}" for i in range(count)]
        self.nodes.append(helper.make_node(op_type, list(inputs), names, names[0], **attributes))
        return names

    def constant(self, array: Any) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def weight(self, *shape: int) -> str:
        """Add a weight that keeps the magnitude of what goes through it."""
        scale = (2 / max(int(np.prod(shape[1:])), 1)) ** 0.5
        return self.constant((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def bias(self, size: int) -> str:
        return self.constant((self.rng.standard_normal(size) * 0.3).astype(np.float32))

    def conv(self, x: str, shape: tuple[int, ...], **attributes: Any) -> str:
        """Add a Conv with weights of `shape` and a bias."""
        return self.add("Conv", x, self.weight(*shape), self.bias(shape[0]), **attributes)

    def finish(self, *outputs: str) -> onnx.ModelProto:
        """Return the checked model."""
        given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, s in self.inputs.items()]
        made = [onnx.ValueInfoProto(name=name) for name in outputs]
        held = [numpy_helper.from_array(a, n) for n, a in self.constants.items()]
        graph = helper.make_graph(self.nodes, "net", given, made, held)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)

    def samples(self, batch: int = 4) -> dict[str, Array]:
        """Return inputs of a batch, normally distributed."""
        shapes = {n: [batch if isinstance(d, str) else d for d in shape] for n, shape in self.inputs.items()}
        return {n: self.rng.standard_normal(shape).astype(np.float32) for n, shape in shapes.items()}


class Parity:
    """Runs a model here and there."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "model.tflite"

    def reference(self, model: onnx.ModelProto, inputs: Tensors) -> dict[str, Array]:
        """Return what ONNX Runtime answers, node by node as written."""
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return dict(zip([o.name for o in session.get_outputs()], session.run(None, dict(inputs)), strict=True))

    def litert(self, model: onnx.ModelProto, inputs: Tensors, encodings: Encodings = Encodings()) -> dict[str, Array]:
        """Return what our file answers in LiteRT."""
        write_atomic(self._file, convert(ir.from_proto(model), encodings).content)
        session = find_runtime("litert").load(self._file, SETTINGS)
        try:
            return session.run(inputs)
        finally:
            session.close()

    def observe(self, model: onnx.ModelProto, inputs: Tensors) -> dict[str, Array]:
        """Return every float value of a model."""
        shown = copy.deepcopy(model)
        known = {o.name for o in shown.graph.output}
        names = [o for node in shown.graph.node for o in node.output if o not in known]
        shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        found = {**inputs, **self.reference(shown, inputs)}
        return {name: array for name, array in found.items() if array.dtype == np.float32}

    def encode(self, model: onnx.ModelProto, inputs: Tensors, given: Mapping[str, Encoding] | None = None) -> Encodings:
        """Return static int8 encodings by LiteRT's scheme from minima and maxima; what its kernels fuse away has none."""
        tensors = {
            n: affine(float(a.min()), float(a.max()), signed=True) for n, a in self.observe(model, inputs).items()
        }
        tensors |= given or {}
        constants = {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type in KEPT and node.input[0] in tensors:
                tensors |= dict.fromkeys(node.output, tensors[node.input[0]])
            if node.op_type in FIXED:
                scale, zero_point = FIXED[node.op_type]
                tensors[node.output[0]] = Encoding(scale=(scale,), zero_point=(zero_point,))
            if node.op_type in ("Relu", "Clip"):
                readers = [n for n in model.graph.node if node.input[0] in n.input]
                if len(readers) == 1 and node.input[0] not in {i.name for i in model.graph.input}:
                    del tensors[node.input[0]]
            if node.op_type == "Add" and node.input[0].startswith("matmul") and node.input[1] in constants:
                del tensors[node.input[0]]
            if node.op_type in WEIGHTED and node.input[1] in constants:
                axis = WEIGHTED[node.op_type]
                axis = 0 if any(a.name == "transB" and a.i for a in node.attribute) else axis
                array = constants[node.input[1]]
                others = tuple(i for i in range(array.ndim) if i != axis)
                if any(a.name == "group" and a.i > 1 for a in node.attribute) and node.op_type == "ConvTranspose":
                    tensors[node.input[1]] = symmetric(np.abs(array).max())
                else:
                    tensors[node.input[1]] = symmetric(np.abs(array).max(axis=others), axis=axis)
        return Encodings(tensors=tensors)


def fake_quantized(model: onnx.ModelProto, encodings: Encodings) -> onnx.ModelProto:
    """Return a float model that rounds every encoded tensor to its steps."""
    faked = copy.deepcopy(model)
    graph = faked.graph
    for constant in graph.initializer:
        if (encoding := encodings.tensors.get(constant.name)) is not None:
            steps = encoding.quantize(numpy_helper.to_array(constant))
            constant.CopyFrom(numpy_helper.from_array(encoding.dequantize(steps), constant.name))
    made = {output for node in graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for value in graph.input:
        _round(value.name, f"{value.name}__rounded", encodings, graph, nodes)
        renamed[value.name] = f"{value.name}__rounded" if value.name in encodings.tensors else value.name
    for node in list(graph.node):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        encoded = [name for name in node.output if name in encodings.tensors and name in made]
        node.output[:] = [f"{name}__raw" if name in encoded else name for name in node.output]
        nodes.append(node)
        for name in encoded:
            _round(f"{name}__raw", name, encodings, graph, nodes)
    del graph.node[:]
    graph.node.extend(nodes)
    return faked


def _round(source: str, to: str, encodings: Encodings, graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    encoding = encodings.tensors.get(source.removesuffix("__raw"))
    if encoding is None:
        return
    scale, zero = f"{to}__scale", f"{to}__zero"
    graph.initializer.append(numpy_helper.from_array(np.float32(encoding.scale[0]), scale))
    graph.initializer.append(numpy_helper.from_array(np.int8(encoding.zero_point[0]), zero))
    nodes.append(helper.make_node("QuantizeLinear", [source, scale, zero], [f"{to}__steps"]))
    nodes.append(helper.make_node("DequantizeLinear", [f"{to}__steps", scale, zero], [to]))


@pytest.fixture(scope="session")
def network() -> type[Network]:
    """The class whose objects become small models."""
    return Network


@pytest.fixture(scope="session")
def parity(tmp_path_factory: pytest.TempPathFactory) -> Parity:
    """What runs a model in ONNX Runtime and in LiteRT."""
    return Parity(tmp_path_factory.mktemp("parity"))


@pytest.fixture(scope="session")
def steps_apart(parity: Parity) -> Callable[[onnx.ModelProto, Tensors], float]:
    """A function that tells how many output steps our int8 file and the fake-quantized model lie apart at most.

    Inputs lie on their steps, so that an operator that is left in float sees the same as one that is not.
    """

    def measure(model: onnx.ModelProto, inputs: Tensors) -> float:
        given = {name: affine(float(a.min()), float(a.max()), signed=True) for name, a in inputs.items()}
        inputs = {name: given[name].dequantize(given[name].quantize(a)) for name, a in inputs.items()}
        encodings = parity.encode(model, inputs, given)
        wanted = parity.reference(fake_quantized(model, encodings), inputs)
        found = parity.litert(model, inputs, encodings)
        return max(float(np.abs(found[n] - wanted[n]).max() / encodings.tensors[n].scale[0]) for n in wanted)

    return measure


@pytest.fixture(scope="session")
def faked() -> Callable[[onnx.ModelProto, Encodings], onnx.ModelProto]:
    """The function that makes a float model which rounds as encodings say."""
    return fake_quantized
