"""What constants alone decide is computed once, unless the model would grow by it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from edgeml_compress.rewrites.fold_constants import fold_constants
from edgeml_compress.rewrites.share_constants import share_constants

RNG = np.random.default_rng(0)
X = {"x": RNG.standard_normal((2, 8)).astype(np.float32)}


def test_in_both_branches_of_an_if_and_the_outcome_is_kept_once(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = """t (float[b, 8] x, bool f) => (float[b, 6] y) { y = If(f) <
        then_branch = p () => (float[b, 6] o) { t = Transpose(w)
 o = MatMul(x, t) },
        else_branch = q () => (float[b, 6] o) { t = Transpose(w)
 m = MatMul(x, t)
 o = Relu(m) }> }"""

    def both(model: ir.Model) -> int:
        found = fold_constants(model) + share_constants(model)
        common.RemoveUnusedNodesPass()(model)
        assert sum(v.const_value is not None and bool(v.uses()) for v in model.graph.initializers.values()) == 1
        return found

    weights = {"w": RNG.standard_normal((6, 8)).astype(np.float32)}
    left = rewritten(both, text, weights, {**X, "f": np.array(True)}, changes=3)
    assert "Transpose" not in left


def test_a_large_table_is_not_copied_for_a_second_reader(graph) -> None:  # type: ignore[no-untyped-def]
    text = """t (int64[n] i, float[b, 64] x) => (float[n, 64] e, float[b, 512] y) {
        e = Gather(w, i)
        t = Transpose(w)
        y = MatMul(x, t)
    }"""
    assert fold_constants(graph(text, {"w": np.ones((512, 64), np.float32)})) == 0


def test_random_numbers_are_no_constants(graph) -> None:  # type: ignore[no-untyped-def]
    text = "t (float[2, 2] x) => (float[2, 2] y) { r = RandomNormal<shape = [2, 2]>()\n y = Add(x, r) }"
    assert fold_constants(graph(text)) == 0
