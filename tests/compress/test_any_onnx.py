"""One list of checks over all that a graph may have: prepared it answers the same, and its weights can be stored smaller.

A new feature is one more entry in `FEATURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from edgeml_bench import answers
from edgeml_compress.graph.layers import weights
from edgeml_compress.graph.naming import graphs
from edgeml_compress.graph.running import batches
from edgeml_compress.judging.fidelity import fidelity
from edgeml_compress.passes import quantize_weights
from edgeml_compress.preparation import prepare
from edgeml_compress.recipe import Recipe, Step, apply
from edgeml_compress.source import REFERENCE, read_source
from edgeml_targets.exporters import find_exporter
from edgeml_targets.models import read_model
from edgeml_targets.target import find_target

RNG = np.random.default_rng(0)
SAMPLES = 12
WEIGHT_ONLY = Recipe("int8-weight-only", (Step("quantize_weights", quantize_weights.Params(bits=8)),))
Arrays = Mapping[str, npt.NDArray[Any]]


def normal(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Feature:
    """A graph in ONNX's text form, its weights, its samples, and how many weights it has."""

    text: str
    weights: Arrays
    samples: Arrays
    found: int = 1
    opset: int = 17
    nested: int = 0
    spoil: Callable[[onnx.ModelProto], None] = field(default=lambda proto: None)


def constants_as_nodes(proto: onnx.ModelProto) -> None:
    nodes = [onnx.helper.make_node("Constant", [], [w.name], value=w) for w in proto.graph.initializer]
    kept = list(proto.graph.node)
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])


def initializers_as_inputs(proto: onnx.ModelProto) -> None:
    for w in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(w.name, w.data_type, w.dims))


X = {"x": normal(SAMPLES, 8)}
FLAGS = np.arange(SAMPLES) % 3 == 0
ROWS = "t (float[b, 8] x) => (float[b, 6] y) { y = MatMul(x, w) }"
W = {"w": normal(8, 6)}
FEATURES: dict[str, Feature] = {
    "dynamic axes": Feature(
        "t (float[n, 3, h, k] x) => (float[n, 4, p, q] y) { y = Conv(x, w) }",
        {"w": normal(4, 3, 3, 3)},
        {"x": normal(SAMPLES, 3, 9, 7)},
    ),
    "Constant weights": Feature(ROWS, W, X, spoil=constants_as_nodes),
    "initializers as inputs": Feature(ROWS, W, X, spoil=initializers_as_inputs),
    "shared weights": Feature(
        "t (float[b, 8] x) => (float[b, 8] y) { a = MatMul(x, w)\n r = Relu(a)\n y = MatMul(r, w) }",
        {"w": normal(8, 8)},
        X,
    ),
    "equal weights": Feature(
        "t (float[b, 8] x) => (float[b, 8] y) { a = MatMul(x, v)\n r = Relu(a)\n y = MatMul(r, w) }",
        dict.fromkeys("vw", normal(8, 8)),
        X,
    ),
    "a table that is also a weight": Feature(
        "t (int64[n] i) => (float[n, 9] y) { e = Gather(w, i)\n r = Relu(e)\n wt = Transpose(w)\n y = MatMul(r, wt) }",
        {"w": normal(9, 8)},
        {"i": RNG.integers(0, 9, (SAMPLES, 5))},
        found=2,
    ),
    "no batch": Feature("t (float[5, 8] x) => (float[5, 6] y) { y = MatMul(x, w) }", W, {"x": normal(SAMPLES, 5, 8)}),
    "a scalar and no batch": Feature(
        "t (float[8] x, float s) => (float[6] y) { m = Mul(x, s)\n y = MatMul(m, w) }", W, {**X, "s": normal(SAMPLES)}
    ),
    "several inputs and outputs": Feature(
        "t (float[b, 8] x, float[b, 8] z) => (float[b, 6] y, float[b, 6] d) { y = MatMul(x, w)\n o = MatMul(z, v)\n d = Sub(y, o) }",
        {**W, "v": normal(8, 6)},
        {**X, "z": normal(SAMPLES, 8)},
        found=2,
    ),
    "strings": Feature(
        "t (string[n] s, float[b, 8] x) => (string[n] u, float[b, 6] y) { u = Identity(s)\n y = MatMul(x, w) }",
        W,
        {**X, "s": np.array([[f"nr {i}"] for i in range(SAMPLES)])},
    ),
    "whole numbers": Feature(
        "t (int32[b, 8] x) => (float[b, 6] y, int32[b, 8] u) { f = Cast<to = 1>(x)\n y = MatMul(f, w)\n u = Neg(x) }",
        W,
        {"x": RNG.integers(-9, 9, (SAMPLES, 8)).astype(np.int32)},
    ),
    "opset 9": Feature(
        't (float[b, 3, 6, 6] x) => (float[b, 4, 12, 12] y) { c = Conv<pads = [1, 1, 1, 1]>(x, w)\n n = BatchNormalization(c, s, s, s, s)\n u = Upsample<mode = "nearest">(n, k)\n y = Clip<min = 0.0, max = 6.0>(u) }',
        {"w": normal(4, 3, 3, 3), "s": np.float32([1, 2, 0.5, 1]), "k": np.float32([1, 1, 2, 2])},
        {"x": normal(SAMPLES, 3, 6, 6)},
        opset=9,
    ),
    "a Softmax of opset 11": Feature(
        "t (float[b, 3, 6, 6] x) => (float[b, 4, 4, 4] y) { c = Conv(x, w)\n y = Softmax<axis = 1>(c) }",
        {"w": normal(4, 3, 3, 3)},
        {"x": normal(SAMPLES, 3, 6, 6)},
        opset=11,
    ),
    "opset 23": Feature(ROWS, W, X, opset=23),
    "an operator of ONNX Runtime's own": Feature(
        "t (float[b, 8] x) => (float[b, 6] y) { g = com.microsoft.Gelu(x)\n y = MatMul(g, w) }", W, X, opset=11
    ),
    "If": Feature(
        """t (float[b, 8] x, bool f) => (float[b, 6] y) { y = If(f) <
            then_branch = p () => (float[b, 6] o) { o = MatMul(x, w) },
            else_branch = q () => (float[b, 6] o) { m = MatMul(x, v)\n o = Relu(m) }> }""",
        {**W, "v": normal(8, 6)},
        {"x": normal(SAMPLES, 1, 8), "f": FLAGS},
        found=2,
        nested=2,
    ),
    "If whose branches share a weight and a name": Feature(
        """t (float[b, 8] x, bool f) => (float[b, 6] y) { y = If(f) <
            then_branch = p () => (float[b, 6] o) { c = Constant<value = float {2.0}>()\n m = MatMul(x, w)\n o = Mul(m, c) },
            else_branch = q () => (float[b, 6] o) { c = Constant<value = float {2.0}>()\n m = MatMul(x, w)\n o = Add(m, c) }> }""",
        W,
        {"x": normal(SAMPLES, 1, 8), "f": FLAGS},
        nested=1,
    ),
    "If in an If, weights used in and outside": Feature(
        """t (float[b, 8] x, bool f) => (float[b, 6] y, float[b, 6] z) { z = MatMul(x, w)\n g = Not(f)\n y = If(f) <
            then_branch = p () => (float[b, 6] o) { o = If(g) <
                then_branch = r () => (float[b, 6] k) { k = MatMul(x, w) }, else_branch = s () => (float[b, 6] k) { k = MatMul(x, v) }> },
            else_branch = q () => (float[b, 6] o) { o = Identity(z) }> }""",
        {**W, "v": normal(8, 6)},
        {"x": normal(SAMPLES, 1, 8), "f": FLAGS},
        found=2,
        nested=1,
    ),
    "If whose condition is known": Feature(
        """t (float[b, 8] x) => (float[b, 6] y) { f = Constant<value = bool {1}>()\n g = Not(f)\n y = If(g) <
            then_branch = p () => (float[b, 6] o) { o = MatMul(x, v) },
            else_branch = q () => (float[b, 6] o) { m = MatMul(x, w)\n o = Relu(m) }> }""",
        {**W, "v": normal(8, 6)},
        X,
    ),
    "a branch that returns a constant": Feature(
        """t (float[b, 8] x, bool f) => (float[b, 6] y) { m = MatMul(x, w)\n y = If(f) <
            then_branch = p () => (float[1, 6] o) { o = Constant<value = float[1, 6] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}>() },
            else_branch = q () => (float[b, 6] k) { k = Identity(m) }> }""",
        W,
        {"x": normal(SAMPLES, 1, 8), "f": FLAGS},
    ),
    "Loop": Feature(
        """t (float[b, 8] x) => (float[b, 8] y) { n = Constant<value = int64 {3}>()\n y = Loop(n, , x) <
            body = l (int64 i, bool c, float[b, 8] a) => (bool k, float[b, 8] o) { k = Identity(c)\n m = MatMul(a, w)\n o = Tanh(m) }> }""",
        {"w": normal(8, 8)},
        X,
        nested=1,
    ),
    "Scan": Feature(
        """t (float[5, 8] x, float[8] h) => (float[8] y, float[5, 8] z) { y, z = Scan<num_scan_inputs = 1,
            body = l (float[8] a, float[8] s) => (float[8] o, float[8] p) { m = MatMul(a, w)\n n = Add(m, s)\n o = Tanh(n)\n p = Identity(o) }>(h, x) }""",
        {"w": normal(8, 8)},
        {"x": normal(SAMPLES, 5, 8), "h": normal(SAMPLES, 8)},
        nested=1,
    ),
    "recurrent cells, an output left out": Feature(
        "t (float[s, b, 8] x) => (float[1, b, 4] y) { , y = LSTM<hidden_size = 4>(x, w, r) }",
        {"w": normal(1, 16, 8), "r": normal(1, 16, 4)},
        {"x": normal(SAMPLES, 5, 1, 8)},
        found=2,
    ),
    "names that a rewrite would choose": Feature(
        "t (float[b, 3, 6, 6] w_n, float[b, 4, 4, 4] y_b) => (float[b, 4, 4, 4] y) { c = Conv(w_n, w)\n m = Mul(c, k)\n y_c = Add(m, k)\n y = Add(y_c, y_b) }",
        {"w": normal(4, 3, 3, 3), "k": normal(1, 4, 1, 1)},
        {"w_n": normal(SAMPLES, 3, 6, 6), "y_b": normal(SAMPLES, 4, 4, 4)},
    ),
}


@pytest.fixture(params=FEATURES)
def feature(request: pytest.FixtureRequest) -> Feature:
    return FEATURES[request.param]


@pytest.fixture
def file(feature: Feature, graph: Callable[..., Any], tmp_path: Path) -> Path:
    import onnx_ir as ir

    proto = ir.to_proto(graph(feature.text, feature.weights, opset=feature.opset))
    feature.spoil(proto)
    onnx.save(proto, tmp_path / "given.onnx")
    return tmp_path / "given.onnx"


def test_prepared_it_answers_as_the_file_does(feature: Feature, file: Path) -> None:
    source = read_source(file, feature.samples)
    assert source.changes and source.moved > 1 - 1e-5  # without changes, preparing was undone
    inputs = {value.name for value in source.model.graph.inputs}
    assert inputs == set(feature.samples)
    names = [
        v.name
        for g in graphs(source.model)
        for v in (*g.inputs, *g.initializers.values(), *(o for n in g for o in n.outputs))
        if v.name
    ]
    assert len(names) == len(set(names))


def test_every_weight_is_found_once_and_those_in_bodies_are_told(feature: Feature, file: Path) -> None:
    found = weights(prepare(read_model(file), where="t").model)
    assert (len(found), sum(w.nested for w in found.values())) == (feature.found, feature.nested)


def test_weights_alone_as_integers_are_smaller_and_answer_closely(feature: Feature, file: Path, tmp_path: Path) -> None:
    target = find_target("x86_64-onnxruntime")
    draft = apply(WEIGHT_ONLY, read_source(file, feature.samples).draft(target.scheme))
    assert len(draft.encodings.tensors) == feature.found
    artifact = tmp_path / "made.onnx"
    find_exporter(".onnx").export(draft.model, draft.encodings, artifact)
    kept = {w.name for w in onnx.load(artifact).graph.initializer if w.data_type == onnx.TensorProto.FLOAT}
    assert not kept & draft.encodings.tensors.keys()
    close = fidelity(answers(file, REFERENCE, feature.samples), answers(artifact, REFERENCE, feature.samples))
    assert close.cosine_min is not None and close.cosine_min > 0.99


def test_a_scalar_is_fed_without_an_axis(graph: Callable[..., Any]) -> None:
    feature = FEATURES["a scalar and no batch"]
    (first, *_) = batches(graph(feature.text, feature.weights), feature.samples)
    assert {name: array.shape for name, array in first.feed.items()} == {"x": (8,), "s": ()}
