"""A walk: each layer sees what enters it in the network as it was left so far, and what the float network gives there."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from edgeml_compress.layerwise import walk as walking
from edgeml_compress.layerwise.simulation import simulated
from edgeml_compress.layerwise.walk import Chunks, Stop, spread, walk
from edgeml_compress.preparation import prepare
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.contract.errors import EdgemlError

RNG = np.random.default_rng(0)
SHAPES = {"w1": (8, 8, 3, 3), "b1": (8,), "w2": (8, 8, 3, 3), "wm": (8, 8), "wf": (8, 4), "wg": (8, 8)}
WEIGHTS = {name: 0.3 * RNG.standard_normal(shape).astype("f4") for name, shape in SHAPES.items()}
SAMPLES = {"x": RNG.standard_normal((9, 8, 6, 6)).astype("f4"), "f": np.arange(9) % 2 == 0}
BRANCHING = """t (float[b, 8, 6, 6] x, bool f) => (float[b, 4] y, float[b, 8] z) {
    [c1] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    r = Relu(a)
    [c2] c = Conv <pads = [1, 1, 1, 1]> (r, w2)
    s = Add(c, r)
    p = GlobalAveragePool(s)
    q = Flatten(p)
    e = If(f) <then_branch = g () => (float[b, 8] i) { i = Neg(q) }, else_branch = h () => (float[b, 8] j) { j = Relu(q) }>
    [m] k = MatMul(e, wm)
    n = Tanh(q)
    [g] z = Gemm(k, wg, n)
    [f] y = MatMul(z, wf)
}"""
"""A residual, an If between two layers, and a Gemm whose third input is computed."""
LAYERS = ["c1", "c2", "m", "g", "f"]


@pytest.fixture
def draft(graph, drafted, passed):  # type: ignore[no-untyped-def]
    return passed(drafted(graph(BRANCHING, WEIGHTS), SAMPLES), ("quantize_weights", {"bits": 4}), "static_activations")


def rounded(stop: Stop) -> Chunks:
    return stop.run(stop.rounded)


def given_by(model: ir.Model, names: list[str]) -> dict[str, np.ndarray]:
    """Return tensors of a whole network, one run a sample, as it is written: ONNX Runtime rounds float weights between
    QuantizeLinear and DequantizeLinear to integers of its own otherwise."""
    exposed = model.clone()
    values = {value.name: value for node in exposed.graph for value in node.outputs}
    exposed.graph.outputs[:] = [values[name] for name in names]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(ir.to_proto(exposed).SerializeToString(), options)
    runs = [session.run(names, {"x": x[None], "f": np.asarray(f)}) for x, f in zip(*SAMPLES.values(), strict=True)]
    return {name: np.concatenate([run[i] for run in runs]) for i, name in enumerate(names)}


def test_layers_are_visited_in_order_and_see_both_networks(draft) -> None:  # type: ignore[no-untyped-def]
    seen: dict[str, tuple[Stop, Chunks, Chunks]] = {}

    def visit(stop: Stop) -> Chunks:
        seen[str(stop.node.name)] = (stop, stop.entering, rounded(stop))
        return seen[str(stop.node.name)][2]

    walk(draft, 100, visit)
    assert list(seen) == LAYERS
    integer, names = (
        simulated(draft.model, draft.encodings),
        [str(stop.node.outputs[0].name) for stop, _, _ in seen.values()],
    )
    left, wanted = given_by(integer, names), given_by(draft.plain, names)
    entered = [str(node.inputs[0].name) for node in integer.graph if node.name in seen]
    entering = given_by(integer, entered)
    for (stop, entered_by, got), name, enters in zip(seen.values(), names, entered, strict=True):
        np.testing.assert_allclose(np.concatenate(stop.wanted), wanted[name], atol=1e-5)
        np.testing.assert_allclose(np.concatenate(entered_by), entering[enters], atol=1e-5)
        np.testing.assert_allclose(np.concatenate(got), left[name], atol=1e-5)


def test_a_weight_runs_alike_with_what_lies_before_it_and_alone(draft) -> None:  # type: ignore[no-untyped-def]
    def visit(stop: Stop) -> Chunks:
        got = rounded(stop)
        np.testing.assert_allclose(np.concatenate(stop.run(stop.rounded.copy())), np.concatenate(got), atol=1e-5)
        return got

    walk(draft, 100, visit)


def test_what_a_visit_leaves_is_what_the_next_layers_see(draft) -> None:  # type: ignore[no-untyped-def]
    draft = dataclasses.replace(draft, encodings=weights_alone(draft.encodings))
    entered = {}

    def visit(stop: Stop) -> Chunks:
        entered[stop.node.name] = np.concatenate(stop.entering)
        return [np.zeros_like(chunk) for chunk in stop.wanted]

    walk(draft, 100, visit)
    assert not entered["c2"].any() and not entered["m"].any() and not entered["g"].any() and entered["c1"].any()


def test_a_weight_off_the_grid_gives_what_the_float_network_gives(draft) -> None:  # type: ignore[no-untyped-def]
    draft = dataclasses.replace(draft, encodings=weights_alone(draft.encodings))

    def visit(stop: Stop) -> Chunks:
        got = stop.run(np.asarray(stop.weight.const_value.numpy()))
        np.testing.assert_allclose(np.concatenate(got), np.concatenate(stop.wanted), atol=1e-4)
        return got

    walk(draft, 100, visit)


def test_samples_that_do_not_fit_take_no_part(draft, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(walking, "HELD_BYTES", 1)
    counts = []

    def visit(stop: Stop) -> Chunks:
        counts.append(sum(len(chunk) for chunk in stop.entering))
        return rounded(stop)

    walk(draft, 100, visit)
    assert counts == [1] * len(LAYERS)


def test_no_more_is_held_than_what_is_read_again(graph, drafted, passed, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A chain of any length holds what one layer needs."""
    text = "t (float[b, 8] x) => (float[b, 8] y) { a0 = MatMul(x, w)\n"
    text += "\n".join(f"r{i} = Relu(a{i}) a{i + 1} = MatMul(r{i}, w)" for i in range(20)) + " y = Relu(a20) }"
    model = graph(text, {"w": WEIGHTS["wm"]})
    draft = passed(drafted(model, {"x": RNG.standard_normal((4, 8)).astype("f4")}), "quantize_weights")
    lanes: list[walking._Lane] = []
    begin = walking._Lane.__init__

    def noted(self: walking._Lane, *args: object) -> None:
        begin(self, *args)  # type: ignore[arg-type]
        lanes.append(self)

    monkeypatch.setattr(walking._Lane, "__init__", noted)
    most = 0

    def visit(stop: Stop) -> Chunks:
        nonlocal most
        most = max(most, *(len(lane._held) for lane in lanes))
        return rounded(stop)

    walk(draft, 100, visit)
    assert most <= 6


def test_without_an_encoded_weight_nobody_asks_for_samples(draft) -> None:  # type: ignore[no-untyped-def]
    walk(dataclasses.replace(draft, encodings=Encodings(), samples=None), 4, rounded)
    with pytest.raises(EdgemlError, match="calibrate with samples"):
        walk(dataclasses.replace(draft, samples=None), 4, rounded)


@pytest.mark.parametrize(
    ("most", "chosen"), [(1, [0]), (2, [0, 8]), (3, [0, 4, 8]), (9, list(range(9))), (50, list(range(9)))]
)
def test_samples_are_spread_over_all(most: int, chosen: list[int]) -> None:
    np.testing.assert_array_equal(spread({"x": np.arange(9)}, most)["x"], chosen)


def weights_alone(encodings: Encodings) -> Encodings:
    return Encodings(tensors={name: found for name, found in encodings.tensors.items() if name in WEIGHTS})


@pytest.mark.parametrize("batch", ["b", "1"])
def test_what_is_inferred_of_sizes_is_what_a_run_takes(graph, drafted, monkeypatch, batch: str) -> None:  # type: ignore[no-untyped-def]
    text = BRANCHING.replace("float[b, ", f"float[{batch}, ")
    draft = drafted(prepare(graph(text, WEIGHTS), where="t").model, SAMPLES)
    names, opened, open_session = ["a", "r", "s", "q", "n", "z"], [], walking.open_session
    monkeypatch.setattr(walking, "open_session", lambda *args: (opened.append(1), open_session(*args))[1])
    inferred = walking._sizes(draft, names)
    assert not opened and inferred["a"] == 8 * 6 * 6 * 4 and inferred["q"] == 8 * 4
    monkeypatch.setattr(walking, "_bytes", lambda value, free: None)
    assert walking._sizes(draft, names) == inferred and opened


def test_a_free_axis_along_which_samples_do_not_stack_is_no_batch(graph, drafted) -> None:  # type: ignore[no-untyped-def]
    draft = drafted(
        graph("t (float[n, 8] x) => (float[n, 8] y) { a = MatMul(x, wm) y = Relu(a) }", WEIGHTS),
        {"x": np.zeros((4, 50, 8), "f4")},
    )
    assert walking._sizes(draft, ["a"]) == {"a": 50 * 8 * 4}


def test_a_size_that_is_no_batch_is_not_taken_for_one(graph, drafted) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[b, n, 8] x) => (float[b, n, 8] y) { t = Transpose <perm = [1, 0, 2]> (x) a = MatMul(t, wm) y = Transpose <perm = [1, 0, 2]> (a) }"
    draft = drafted(prepare(graph(text, WEIGHTS), where="t").model, {"x": np.zeros((4, 5, 8), "f4")})
    assert walking._sizes(draft, ["a"]) == {"a": 5 * 8 * 4}
