"""Links: what one layer gives can be scaled channel by channel and the next layer undoes it; where that is not so, there is none."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeml_compress.graph.channels import output_ranges, scale_constant, scale_inputs, scale_outputs
from edgeml_compress.graph.links import links
from edgeml_compress.graph.naming import Constants

RNG = np.random.default_rng(0)
SHAPES = {
    **{"k1": (6, 4, 3, 3), "k2": (6, 6, 3, 3), "kd": (6, 1, 3, 3), "kg": (4, 3, 1, 1)},
    **{"kt": (4, 6, 3, 3), "kr": (6, 5, 2, 2), "m1": (8, 6), "m2": (6, 5), "m2t": (5, 6), "long": (216, 5)},
    **{"b6": (6,), "r6": (1, 6), "slope": (6, 1, 1)},
}
CONSTANTS = {
    **{name: RNG.standard_normal(shape).astype("f4") for name, shape in SHAPES.items()},
    **{"low": np.float32(0), "high": np.float32(6), "axes": np.array([2, 3])},
}
IMAGES, ROWS, MATRIX = "float[2, 4, 8, 8] x", "float[2, 3, 8] x", "float[2, 8] x"
FIRST = "a = Conv(x, k1, b6)"

LINKED = {
    "Relu": (IMAGES, 4, f"{FIRST} r = Relu(a) y = Conv(r, k2)"),
    "LeakyRelu": (IMAGES, 4, f"{FIRST} r = LeakyRelu(a) y = Conv(r, k2)"),
    "PRelu": (IMAGES, 4, f"{FIRST} r = PRelu(a, slope) y = Conv(r, k2)"),
    "several": (IMAGES, 4, f"{FIRST} r = Abs(a) p = MaxPool<kernel_shape = [2, 2]>(r) s = Relu(p) y = Conv(s, k2)"),
    "average": (IMAGES, 4, f"{FIRST} p = AveragePool<kernel_shape = [2, 2]>(a) y = Conv(p, k2)"),
    "depthwise": (IMAGES, 4, f"{FIRST} r = Relu(a) y = Conv<group = 6>(r, kd)"),
    "grouped": (IMAGES, 4, f"{FIRST} r = Relu(a) y = Conv<group = 2>(r, kg)"),
    "from depthwise": (IMAGES, 4, "c = Conv(x, k1) s = Sigmoid(c) a = Conv<group = 6>(s, kd, b6) y = Conv(a, k2)"),
    "from transposed": (IMAGES, 4, "a = ConvTranspose(x, kt, b6) r = Relu(a) y = Conv(r, k2)"),
    "to transposed": (IMAGES, 4, f"{FIRST} r = Relu(a) y = ConvTranspose(r, kr)"),
    "flattened": (IMAGES, 2, f"{FIRST} r = Relu(a) f = Flatten(r) y = Gemm(f, long)"),
    "pooled": (IMAGES, 2, f"{FIRST} p = GlobalAveragePool(a) f = Flatten(p) y = Gemm(f, m2)"),
    "squeezed": (IMAGES, 2, f"{FIRST} p = GlobalMaxPool(a) f = Squeeze(p, axes) y = MatMul(f, m2)"),
    "mean": (IMAGES, 2, f"{FIRST} p = ReduceMean<axes = [2, 3], keepdims = 0>(a) y = Gemm<transB = 1>(p, m2t)"),
    "addend": (ROWS, 3, "a = MatMul(x, m1) c = Add(r6, a) r = Relu(c) y = MatMul(r, m2)"),
    "no addend": (ROWS, 3, "a = MatMul(x, m1) y = MatMul(a, m2)"),
    "dense": (MATRIX, 2, "a = Gemm<alpha = 0.5>(x, m1, b6) r = Relu(a) y = Gemm<alpha = 2.0>(r, m2)"),
}
APART = {
    "a squash": (IMAGES, 4, f"{FIRST} r = Sigmoid(a) y = Conv(r, k2)"),
    "a bound": (IMAGES, 4, f"{FIRST} r = Clip(a, low, high) y = Conv(r, k2)"),
    "a shift": (IMAGES, 4, f"{FIRST} r = Add(a, slope) y = Conv(r, k2)"),
    "another reader": (IMAGES, 4, f"{FIRST} c = Conv<group = 6, pads = [1, 1, 1, 1]>(a, kd) y = Add(c, a)"),
    "a shared weight": (IMAGES, 4, "c = Conv(x, k1) s = Sigmoid(c) a = Conv(s, k2) y = Conv(a, k2)"),
    "a mean over channels": (IMAGES, 4, f"{FIRST} r = ReduceMean<axes = [1]>(a) y = Conv(r, one)"),
    "channels elsewhere": (IMAGES, 4, f"{FIRST} t = Transpose<perm = [0, 2, 3, 1]>(a) y = MatMul(t, m2)"),
    "products along another axis": (IMAGES, 4, f"{FIRST} y = MatMul(a, m2)"),
    "a softmax": (ROWS, 3, "a = MatMul(x, m1) s = Softmax(a) y = MatMul(s, m2)"),
}


def made(graph, case: tuple[str, int, str]) -> ir.Model:  # type: ignore[no-untyped-def]
    """Return a graph with the constants that its text names, shapes inferred."""
    head, rank, body = case
    named = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    constants = {name: array for name, array in {**CONSTANTS, "one": CONSTANTS["k1"][:, :1]}.items() if name in named}
    model: ir.Model = graph(f"t ({head}) => (float[{', '.join('ijkl'[:rank])}] y) {{ {body} }}", constants)
    common.ShapeInferencePass()(model)
    return model


@pytest.mark.parametrize("name", LINKED)
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(factors=st.lists(st.floats(0.05, 20), min_size=6, max_size=6).map(np.array))
def test_scaled_and_scaled_back_the_network_answers_the_same(name: str, factors: np.ndarray, graph, run) -> None:  # type: ignore[no-untyped-def]
    model = made(graph, LINKED[name])
    [found] = links(model)
    assert found.second.outputs[0].name == "y" and found.first.outputs[0].name == "a"
    feed = {"x": RNG.standard_normal([int(n) for n in model.graph.inputs[0].shape or ()]).astype("f4")}
    before, ranges, constants = run(model, feed)[0], output_ranges(found.first), Constants(model)
    scale_outputs(constants, found.first, factors)
    if found.added is not None:
        scale_constant(constants, *found.added, factors)
    scale_inputs(found.second, np.repeat(1 / factors, found.repeats))
    np.testing.assert_allclose(run(model, feed)[0], before, rtol=1e-3, atol=1e-4 * np.abs(before).max())
    assert ranges is not None
    np.testing.assert_allclose(output_ranges(found.first), ranges * factors, rtol=1e-5)


@pytest.mark.parametrize("name", APART)
def test_what_does_not_scale_is_no_link(name: str, graph) -> None:  # type: ignore[no-untyped-def]
    assert links(made(graph, APART[name])) == []


def test_links_come_in_the_graphs_order_with_one_layer_in_two(graph) -> None:  # type: ignore[no-untyped-def]
    body = "a = Conv(x, k1) b = Relu(a) c = Conv(b, kd) d = Conv(c, k2) p = GlobalAveragePool(d) f = Flatten(p) y = Gemm(f, m2)"
    found = links(made(graph, (IMAGES, 2, body.replace("Conv(b", "Conv<group = 6>(b"))))
    assert [(link.first.outputs[0].name, link.second.outputs[0].name) for link in found] == [
        ("a", "c"),
        ("c", "d"),
        ("d", "y"),
    ]


def test_an_output_of_the_graph_is_no_inside_of_a_link(graph) -> None:  # type: ignore[no-untyped-def]
    text = f"t ({IMAGES}) => (float[i, j, k, l] y, float[m, n, o, p] r) {{ {FIRST} r = Relu(a) y = Conv(r, k2) }}"
    model = graph(text, {name: CONSTANTS[name] for name in ("k1", "b6", "k2")})
    common.ShapeInferencePass()(model)
    assert links(model) == []
