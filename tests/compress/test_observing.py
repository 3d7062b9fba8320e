"""Tensors reduced inside the graph give what numpy gives of the tensors themselves: any rank, any size, whatever they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeml_compress.calibration import Calibration, calibrate, see
from edgeml_compress.observing import COUNTED_VALUES, Glimpse, Watch, glimpse, single_symbols, stride
from edgeml_compress.preparation import prepare

Array = npt.NDArray[np.float32]
Graph = Callable[..., ir.Model]


def looked_at(model: ir.Model, names: list[str], feed: Mapping[str, Array]) -> dict[str, Glimpse | None]:
    return dict(zip(names, Watch(model, names, single=frozenset()).look(feed), strict=True))


def same(left: Glimpse | None, right: Glimpse | None) -> bool:
    if left is None or right is None:
        return left is right
    return (left.low, left.high) == (right.low, right.high) and np.array_equal(left.part, right.part)


@pytest.mark.parametrize(
    ("declared", "shape"),
    [
        ("float", ()),
        ("float[1]", (1,)),
        ("float[n]", (9_001,)),
        ("float[5000]", (5_000,)),
        ("float[n, c]", (1, 8)),
        ("float[n, c]", (90, 210)),
        ("float[n, 0]", (3, 0)),
        ("float[n, c, h]", (2, 0, 4)),
        ("float[1, 64, 28, 28]", (1, 64, 28, 28)),
        ("float[1, c, h, w]", (1, 3, 105, 77)),
        ("float[1, 2, 3, 40, 50]", (1, 2, 3, 40, 50)),
        ("float[a, b, c, d, e]", (2, 2, 3, 40, 50)),
    ],
)
def test_a_tensor_of_any_rank_and_size_leaves_what_numpy_finds(
    graph: Graph, declared: str, shape: tuple[int, ...]
) -> None:
    model = prepare(graph(f"g ({declared} x) => ({declared} z) {{ y = Neg(x) \n z = Abs(y) }}"), where="g").model
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = looked_at(model, ["x", "y", "z"], {"x": x})
    for name, values in {"x": x, "y": -x, "z": abs(x)}.items():
        assert same(found[name], glimpse(np.asarray(values)))


@settings(deadline=None)
@given(st.lists(st.integers(1, 60), max_size=4))
@example([1, 512, 7, 7])
@example([1, 3, 416, 416])
@example([30, 7, 22, 1])
def test_a_stride_passes_over_no_column(shape: list[int]) -> None:
    step = stride(shape)
    size = math.prod(shape)
    assert -(-size // step) <= COUNTED_VALUES
    assert all(math.gcd(step, dim) == 1 for dim in shape)


@pytest.mark.parametrize("at", [0, 1, 4_000, 8_999])
@pytest.mark.parametrize("declared", ["float[9000]", "float[n]"])
def test_a_nan_is_noticed_wherever_it_stands(graph: Graph, declared: str, at: int) -> None:
    """ONNX Runtime's ReduceMax alone passes over it."""
    model = prepare(graph(f"g ({declared} x) => ({declared} z) {{ y = Add(x, x) \n z = Relu(y) }}"), where="g").model
    x = np.ones(9_000, np.float32)
    x[at] = np.nan
    assert looked_at(model, ["x", "y"], {"x": x}) == {"x": None, "y": None}


@pytest.mark.parametrize(("operator", "value"), [("Log", -1.0), ("Sqrt", -1.0), ("Reciprocal", 0.0), ("Exp", 1e4)])
def test_what_an_operator_makes_of_a_finite_value_is_noticed(graph: Graph, operator: str, value: float) -> None:
    text = f"g (float[9000] x) => (float[9000] w) {{ y = {operator}(x) \n z = Relu(y) \n w = Add(z, x) }}"
    x = np.ones(9_000, np.float32)
    x[5_000] = value
    found = looked_at(prepare(graph(text), where="g").model, ["x", "y"], {"x": x})
    assert found["x"] is not None and found["y"] is None


def test_what_an_infinite_constant_makes_of_a_zero_is_noticed(graph: Graph) -> None:
    c = np.ones(9_000, np.float32)
    c[77] = np.inf
    model = graph("g (float[9000] x) => (float[9000] z) { y = Mul(x, c) \n z = Relu(y) }", {"c": c})
    assert looked_at(prepare(model, where="g").model, ["y"], {"x": np.zeros(9_000, np.float32)}) == {"y": None}


def test_what_a_relu_makes_counts_from_0_also_beside_a_nan(graph: Graph) -> None:
    model = prepare(
        graph("g (float[9000] x, float[3] s) => (float[9000] y, float[3] t) { y = Relu(x) \n t = Neg(s) }"), where="g"
    ).model
    x = np.linspace(1, 2, 9_000, dtype=np.float32)
    for s in ([1, 2, 3], [1, np.nan, 3]):
        found = looked_at(model, ["y"], {"x": x, "s": np.asarray(s, np.float32)})["y"]
        assert found is not None and (found.low, found.high) == (0, 2)


def test_a_sum_beyond_float32_is_no_nan(graph: Graph) -> None:
    model = prepare(graph("g (float[9000] x) => (float[9000] z) { z = Neg(x) }"), where="g").model
    found = looked_at(model, ["x"], {"x": np.full(9_000, 3e38, np.float32)})["x"]
    assert found is not None and found.high == np.float32(3e38)


def test_the_batch_is_one_wherever_it_appears(graph: Graph) -> None:
    model = graph("g (float[n, 4] x, float[m, 4] s, float[n, k] t) => (float[n, 4] y) { y = Add(x, x) }")
    rows = {"x": np.zeros((5, 4), np.float32), "s": np.zeros((5, 2, 4), np.float32), "t": np.zeros((5, 9), np.float32)}
    assert single_symbols(model, rows) == {"n"}
    assert single_symbols(model, {**rows, "t": np.zeros((5, 2, 9), np.float32)}) == frozenset()


def test_bodies_and_what_is_no_float32_are_left_alone(graph: Graph) -> None:
    text = """g (float[n, 4] x, bool c) => (float[n, 4] z, int64[2] s) {
        t = If (c) <then_branch = a () => (float[n, 4] p) { p = Neg(x) }, else_branch = b () => (float[n, 4] q) { q = Abs(x) }>
        z = Add(t, x)
        s = Shape(z)
        h = Cast <to = 10> (z)
    }"""
    model = prepare(graph(text), where="g").model
    found = calibrate(model, {"x": np.ones((3, 4), np.float32), "c": np.array([True, False, True])})
    assert set(found.tensors) == {"x", "t", "z"}
    assert (found.tensors["t"].low, found.tensors["t"].high) == (-1, 1)


def test_inputs_of_many_sizes_leave_what_each_leaves_alone(graph: Graph) -> None:
    """The stride is a function of a sample's own size, so that it does not matter which sample came first."""
    model = prepare(graph("g (float[h, w] x) => (float[h, w] y) { y = Add(x, x) }"), where="g").model
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((1, h, w)).astype(np.float32) for h, w in ((3, 4), (120, 100), (64, 333))]
    alone = [calibrate(model, {"x": a}).tensors["y"] for a in arrays]
    assert alone == [see(2 * a[0]) for a in arrays]


def test_an_old_graph_is_watched_too() -> None:
    text = (
        '<ir_version: 4, opset_import: ["" : 9]> g (float[n, 100, 100] x) => (float[n, 100, 100] y) { y = Add(x, x) }'
    )
    model = prepare(ir.from_proto(onnx.parser.parse_model(text)), where="g").model
    x = np.random.default_rng(0).standard_normal((2, 100, 100)).astype(np.float32)
    found = calibrate(model, {"x": x})
    assert isinstance(found, Calibration) and found.tensors["y"].high == 2 * x.max()


def test_names_in_the_graph_that_look_like_ours_are_kept_apart(graph: Graph) -> None:
    model = prepare(graph("g (float[9000] seen_0) => (float[9000] seen_c0) { seen_c0 = Neg(seen_0) }"), where="g").model
    found = looked_at(model, ["seen_0", "seen_c0"], {"seen_0": np.ones(9_000, np.float32)})
    assert found["seen_c0"] is not None and found["seen_c0"].low == -1
