"""A part gives what the whole gives there, and stages one after the other give what the whole gives."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgeml_compress import prepare
from edgeml_compress.graph import stages as staging
from edgeml_compress.graph.parts import Parts, needed
from edgeml_compress.graph.running import open_session
from edgeml_compress.graph.stages import Stages

RNG = np.random.default_rng(0)
WEIGHTS = {name: RNG.standard_normal((6, 6)).astype("f4") for name in ("w", "v", "fixed")}
TEXT = """t (float[b, 6] x, bool f) => (float[b, 6] early, float[b, 6] y, float[6, 6] fixed, float[b, 6] x2) {
    a = MatMul(x, w)
    early = Relu(a)
    c = If(f) <then_branch = g () => (float[b, 6] i) { i = MatMul(early, v) },
        else_branch = h () => (float[b, 6] j) { [inner] j = Add(early, x) }>
    s = Shape(c)
    d = MatMul(c, w)
    e = Expand(d, s)
    l = SplitToSequence(e)
    one = Constant<value = int64 {0}>()
    p = SequenceAt(l, one)
    q = Add(p, early)
    y = Sigmoid(q)
    x2 = Neg(x)
}"""
FEEDS = [{"x": RNG.standard_normal((1, 6)).astype("f4"), "f": np.asarray(flag)} for flag in (True, False)]


@pytest.fixture
def model(graph) -> ir.Model:  # type: ignore[no-untyped-def]
    return prepare(graph(TEXT, WEIGHTS), where="t").model


def values(model: ir.Model) -> dict[str, ir.Value]:
    return {str(v.name): v for v in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs))}


@pytest.mark.parametrize("least", [1, 2, 3, 100])
def test_stages_answer_as_the_whole(least: int, model: ir.Model, run, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(staging, "LEAST_NODES", least)
    stages = Stages(model)
    assert (len(stages) == 1) == (least == 100)
    for feed in FEEDS:
        got = stages.run(stages.begin(feed), 0, len(stages) - 1)
        for name, expected in zip(["early", "y", "fixed", "x2"], run(model, feed), strict=True):
            np.testing.assert_allclose(got[name], expected, atol=1e-6)


def test_a_node_in_a_body_is_in_the_stage_of_what_holds_it(model: ir.Model, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(staging, "LEAST_NODES", 1)
    inner = next(node for graph in model.graph.subgraphs() for node in graph if node.name == "inner")
    outer, last = values(model)["c"].producer(), values(model)["y"].producer()
    assert outer is not None and last is not None
    stages = Stages(model)
    assert stages.span([inner]) == stages.span([outer])
    assert stages.span([last, inner]) == (stages.span([outer])[0], stages.span([last])[1])


def test_a_part_gives_what_the_whole_gives_there(model: ir.Model) -> None:
    known, names = values(model), ["x", "f", "early", "d"]
    part = Parts(model).between([known["early"], known["x"], known["f"]], [known["d"]])
    assert {node.op_type for node in part.graph} == {"If", "MatMul"} and set(part.graph.initializers) == {"v", "w"}
    for feed in FEEDS:
        whole = dict(zip(names[2:], open_session(model, names[2:]).run(None, feed), strict=True))
        got = open_session(part).run(None, {**feed, "early": whole["early"]})[0]
        np.testing.assert_allclose(got, whole["d"], atol=1e-6)


def test_a_part_that_needs_more_than_it_is_given_is_refused(model: ir.Model) -> None:
    known = values(model)
    with pytest.raises(ValueError, match="nothing gives x"):
        Parts(model).between([known["early"], known["f"]], [known["d"]])


def test_what_a_node_needs_goes_back_to_what_is_known_and_no_further(model: ir.Model) -> None:
    known = values(model)
    reader = known["d"].producer()
    assert reader is not None
    assert {v.name for v in needed(reader, {known["early"], known["x"], known["f"]}.__contains__)} == {
        "early",
        "x",
        "f",
    }
    assert {v.name for v in needed(reader, {known["c"], known["x"]}.__contains__)} == {"c"}
