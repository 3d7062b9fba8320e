"""Where integers go, on the patterns that runtimes fuse and share scales over."""

from __future__ import annotations

import time

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress.placement import Placement, place
from edgeml_targets.contract.encodings import Encodings, symmetric
from edgeml_targets.target import Fusion, Scheme

OPERATORS = ("Conv", "MatMul", "Add", "Relu", "Clip", "MaxPool", "Reshape", "Concat")
WEIGHT = {"w": np.ones((3, 3, 1, 1), np.float32)}
ENCODED = Encodings(tensors={"w": symmetric([1.0] * 3, axis=0)})


@pytest.fixture
def placed(graph):  # type: ignore[no-untyped-def]
    """Return a function that places integers in a graph whose every tensor was calibrated."""

    def find(
        body: str, *, weights=WEIGHT, encodings=ENCODED, unusable=(), layers=None, float_results=(), **of_scheme
    ) -> Placement:  # type: ignore[no-untyped-def]
        import onnx_ir.passes.common as common

        model = graph(f"t (float[b, 3, 4, 4] x) => (float[b, n, h, k] y) {{ {body} }}", weights)
        common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
        values = [*model.graph.inputs, *(v for n in model.graph for v in n.outputs)]
        usable = {v.name or "": v.name not in unusable for v in values}
        scheme = Scheme(operators=OPERATORS, float_results=float_results, **of_scheme)
        return place(model, scheme, encodings, usable, layers)

    return find


def test_an_activation_that_is_fused_leaves_no_tensor_between(placed) -> None:  # type: ignore[no-untyped-def]
    assert placed("c = Conv(x, w) y = Relu(c)").groups == (("x",), ("y",))


def test_an_activation_whose_input_is_read_twice_is_not_fused(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("c = Conv(x, w) r = Relu(c) y = Add(c, r)")
    assert found.groups == (("c",), ("r",), ("x",), ("y",))


def test_relu6_is_fused_and_another_clip_is_not(placed) -> None:  # type: ignore[no-untyped-def]
    bounds = {**WEIGHT, "lo": np.float32(0), "six": np.float32(6), "one": np.float32(1)}
    assert placed("c = Conv(x, w) y = Clip(c, lo, six)", weights=bounds).groups == (("x",), ("y",))
    assert placed("c = Conv(x, w) y = Clip(c, lo, one)", weights=bounds).groups == (("c",), ("x",), ("y",))


def test_a_scheme_says_which_clips_are_fused_after_which_operators(placed) -> None:  # type: ignore[no-untyped-def]
    bounds = {**WEIGHT, "lo": np.float32(-1), "hi": np.float32(1)}
    fusions = (Fusion(after=("Conv",), activation="Clip", limits=(-1, 1)),)
    clipped, relu = "c = Conv(x, w) y = Clip(c, lo, hi)", "c = Conv(x, w) y = Relu(c)"
    assert placed(clipped, weights=bounds).groups == (("c",), ("x",), ("y",))
    assert placed(clipped, weights=bounds, fusions=fusions).groups == (("x",), ("y",))
    assert placed(relu, fusions=fusions).groups == (("c",), ("x",), ("y",))
    assert placed("a = Add(x, x) y = Clip(a, lo, hi)", weights=bounds, fusions=fusions).groups == (
        ("a",),
        ("x",),
        ("y",),
    )


def test_a_scheme_says_what_shares_one_encoding_and_whose_constants_have_one(placed) -> None:  # type: ignore[no-untyped-def]
    pooled, summed = "y = MaxPool <kernel_shape = [1, 1]> (x)", "y = Add(x, k)"
    assert placed(pooled, same_scale=()).groups == (("x",), ("y",))
    assert placed(summed, weights={"k": np.ones((1, 3, 1, 1), np.float32)}, constant_operands=()).constants == ()


def test_what_only_moves_values_shares_one_encoding(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("a = Relu(x) p = MaxPool <kernel_shape = [1, 1]> (a) y = Concat <axis = 1> (p, x)")
    assert found.groups == (("a", "p", "x", "y"),)


def test_a_weight_without_an_encoding_keeps_its_operator_in_float(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("y = Conv(x, w)", encodings=Encodings())
    assert found.groups == () and found.kept == ("Conv y: its weight is no constant with an encoding",)


def test_a_tensor_without_a_range_keeps_its_operators_in_float(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("a = Relu(x) y = Add(a, x)", unusable=("a",))
    assert found.groups == ()
    assert found.kept == ("Relu a: a is always 0 or not finite", "Add y: a is always 0 or not finite")


def test_a_product_of_two_activations_becomes_integers(placed) -> None:  # type: ignore[no-untyped-def]
    assert placed("y = MatMul(x, x)").groups == (("x",), ("y",))


def test_a_constant_that_is_added_gets_an_encoding_of_its_own(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("y = Add(x, k)", weights={"k": np.ones((1, 3, 1, 1), np.float32)})
    assert found.constants == ("k",) and found.groups == (("x",), ("y",))


def test_an_operator_that_the_target_has_not_in_integers_is_left_alone(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("e = Exp(x) y = Relu(e)")
    assert found.groups == (("e",), ("y",)) and found.kept == ()


def test_a_result_that_only_float_operators_read_stays_in_float_where_the_kernel_gives_float(placed) -> None:  # type: ignore[no-untyped-def]
    last, both = "c = Conv(x, w) y = Exp(c)", "c = Conv(x, w) e = Exp(c) y = Add(c, e)"
    assert placed(last).groups == (("c",), ("x",))
    assert placed(last, float_results=("Conv",)).groups == (("x",),)
    assert placed(both, float_results=("Conv",)).groups == (("c",), ("e",), ("x",), ("y",))
    assert placed("c = Conv(x, w) y = Relu(c)", float_results=("Conv",)).groups == (("x",), ("y",))


TWO = "a = Conv(x, w) r = Relu(a) b = Conv(r, w) s = Relu(b) y = Reshape(s, shape)"


@pytest.mark.parametrize(
    ("layers", "groups"),
    [
        (None, (("r",), ("s",), ("x",))),
        (("a", "b"), (("r",), ("s",), ("x",))),
        (("a",), (("r",), ("x",))),  # the activation behind it goes with it
        (("b",), (("r",), ("s",))),  # `r` is rounded where b reads it, and Relu computes in float
        ((), ()),
    ],
)
def test_only_the_layers_asked_for_and_what_lies_between_become_integers(placed, layers, groups) -> None:  # type: ignore[no-untyped-def]
    weights = {**WEIGHT, "shape": np.array([0, -1], np.int64)}
    assert placed(TWO, weights=weights, layers=layers).groups == groups


def test_a_sum_of_a_chosen_and_another_layer_stays_in_float(placed) -> None:  # type: ignore[no-untyped-def]
    body = "a = Conv(x, w) b = Conv(x, w) y = Add(a, b)"
    assert placed(body, layers=("a",)).groups == (("a",), ("x",))
    assert placed(body, layers=("a", "b")).groups == (("a",), ("b",), ("x",), ("y",))


def test_a_product_with_its_weight_on_the_left_stays_in_float(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("y = MatMul(k, x)", weights={"k": np.ones((1, 3, 4, 4), np.float32)})
    assert found.groups == () and found.kept == ("MatMul y: its weight stands on the left",)


EMPTY = {
    **WEIGHT,
    "flat": np.array([-1], np.int64),
    "zero": np.int64(0),
    "one": np.int64(1),
    "two": np.array([2], np.int64),
    "some": np.ones(3, np.bool_),
}


@pytest.mark.parametrize(
    "body",
    [
        "b = Cast <to = 9> (x) m = Reshape(b, flat) f = Reshape(x, flat) k = Compress(f, m)",
        "z = NonZero(x) t = Transpose(z) k = GatherND(x, t)",
        "n = ReduceSum <keepdims = 0> (x) i = Cast <to = 7> (n) r = Range(zero, i, one) k = Cast <to = 1> (r)",
        "n = ReduceMax <keepdims = 0> (x) i = Cast <to = 7> (n) s = Reshape(i, flat) k = ConstantOfShape(s)",
        "f = Reshape(x, flat) k, i, j, c = Unique(f)",
        "f = Reshape(x, flat) q = SplitToSequence(f, two) k = SequenceAt(q, zero)",
    ],
)
def test_what_may_be_empty_stays_in_float_with_all_that_follows(placed, body) -> None:  # type: ignore[no-untyped-def]
    found = placed(f"{body} a = Add(k, k) e = Exp(a) y = Add(e, e)", weights=EMPTY)
    assert not {"k", "a", "e", "y"} & {name for group in found.groups for name in group}
    assert [line.split(": ")[0] for line in found.kept if "depends on the data" in line][-2:] == ["Add a", "Add y"]


@pytest.mark.parametrize(
    "body",
    [
        "n = Shape(x) k = ConstantOfShape(n)",  # a free batch is no data
        "c = NonZero(some) r = Cast <to = 1> (c) k = ReduceMax <keepdims = 0> (r)",
        "z = NonZero(x) r = Cast <to = 1> (z) k = ReduceSum <keepdims = 0> (r)",  # one number, however many were summed
        "k = Compress <axis = 1> (x, some)",
    ],
)
def test_what_has_the_size_that_its_inputs_give_becomes_integers(placed, body) -> None:  # type: ignore[no-untyped-def]
    assert placed(f"{body} y = Add(k, x)", weights=EMPTY).kept == ()


def _seconds_for(length: int) -> float:
    """Return how long placing takes in a chain of convolutions with their Relus, and one of Concats, each deeper."""
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT))
    weight = ir.Value(name="w", type=x.type, const_value=ir.tensor(WEIGHT["w"]))
    nodes, last, moved = [], x, x
    for i in range(length):
        nodes.append(ir.node("Conv", [last, weight], outputs=[ir.Value(name=f"c{i}", type=x.type)]))
        nodes.append(ir.node("Relu", nodes[-1].outputs, outputs=[ir.Value(name=f"r{i}", type=x.type)]))
        last = nodes[-1].outputs[0]
        nodes.append(ir.node("Concat", [last, moved], {"axis": 1}, outputs=[ir.Value(name=f"m{i}", type=x.type)]))
        moved = nodes[-1].outputs[0]
    model = ir.Model(ir.Graph([x], [last, moved], nodes=nodes, initializers=[weight]), ir_version=8)
    usable = {"x": True, **{v.name or "": True for n in nodes for v in n.outputs}}
    began = time.process_time()
    place(model, Scheme(operators=OPERATORS), ENCODED, usable)
    return time.process_time() - began


def test_placing_takes_time_in_proportion_to_the_nodes() -> None:
    short, long = (min(_seconds_for(n) for _ in range(3)) for n in (1500, 6000))
    assert long < 9 * short  # four times the nodes; were each compared with all others, sixteen times


def test_a_convolution_that_adds_up_few_products_stays_in_float(placed) -> None:  # type: ignore[no-untyped-def]
    """Its weight loses its encoding, too: between integers on both sides it would be taken for an integer one."""
    weights = {**WEIGHT, "big": np.ones((3, 3, 3, 3), np.float32)}
    encodings = Encodings(tensors={name: symmetric([1.0] * 3, axis=0) for name in weights})
    body = "a = Conv <pads = [1, 1, 1, 1]> (x, big) c = Conv(a, w) y = Conv <pads = [1, 1, 1, 1]> (c, big)"
    found = placed(body, weights=weights, encodings=encodings, least_summands=4)
    assert found.slow == ("w",) and found.groups == (("a",), ("c",), ("x",), ("y",))
    assert found.kept == ("Conv c: it adds up 3 products for a value, and integers pay from 4 on",)
    assert placed(body, weights=weights, encodings=encodings, least_summands=3).slow == ()


def test_a_convolution_that_shares_its_weight_stays_an_integer_unless_all_its_readers_leave(placed) -> None:  # type: ignore[no-untyped-def]
    body = "a = Conv(x, w) b = Conv(a, w) y = Add(b, b)"
    assert placed(body, least_summands=4).slow == ("w",)
    read = placed("a = Conv(x, w) b = Add(a, w) y = Conv(b, w)", least_summands=4)
    assert read.slow == () and read.kept == ()


def test_a_weight_without_an_encoding_is_not_moved(placed) -> None:  # type: ignore[no-untyped-def]
    found = placed("y = Conv(x, w)", encodings=Encodings(), least_summands=4)
    assert found.slow == () and found.kept == ("Conv y: it adds up 3 products for a value, and integers pay from 4 on",)


def test_a_product_of_two_activations_stays_in_float_where_the_scheme_says_so(placed) -> None:  # type: ignore[no-untyped-def]
    body = "[square] m = MatMul(x, x) y = Relu(m)"
    assert placed(body).kept == ()
    found = placed(body, activation_products=False)
    assert found.kept == ("MatMul square: it multiplies two activations, which the target computes in float",)
    assert found.groups == (("m",), ("y",)) and found.slow == ()


def test_a_stack_of_matrices_stays_in_float_with_them(placed) -> None:  # type: ignore[no-untyped-def]
    weights = {"stack": np.ones((3, 4, 4), np.float32), "one": np.ones((4, 4), np.float32)}
    encodings = Encodings(tensors=dict.fromkeys(weights, symmetric([1.0])))
    of_scheme = {"weights": weights, "encodings": encodings, "activation_products": False}
    assert placed("y = MatMul(x, one)", **of_scheme).kept == ()
    found = placed("[s] m = MatMul(x, stack) y = Relu(m)", **of_scheme)
    assert found.slow == ("stack",)
    assert found.kept == ("MatMul s: it multiplies with a stack of matrices, which the target computes in float",)
