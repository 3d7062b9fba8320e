"""A branch whose condition is known takes its If's place."""

from __future__ import annotations

import numpy as np
import pytest

from edgeml_compress.rewrites.take_known_branches import take_known_branches

X = {"x": np.float32([[-1, 2, 3]])}
TEXT = """t (float[1, 3] x) => (float[1, 3] y, float[1, 3] z) {
    f = Constant<value = bool {TRUE}>()
    r = Relu(x)
    y, z = If(f) <
        then_branch = p () => (float[1, 3] o, float[1, 3] k) { o = Neg(r)
 k = Add(o, x) },
        else_branch = q () => (float[1, 3] o, float[1, 3] k) { o = Abs(x)
 k = Mul(o, o) }>
}"""


@pytest.mark.parametrize(("value", "left"), [("1", ["Relu", "Neg", "Add"]), ("0", ["Abs", "Mul"])])
def test_the_branch_that_is_taken_stands_in_the_main_graph(value, left, rewritten) -> None:  # type: ignore[no-untyped-def]
    text = TEXT.replace("TRUE", value)
    assert rewritten(take_known_branches, text, {}, X, changes=1) == left


def test_where_the_condition_is_an_input_both_branches_stay(rewritten) -> None:  # type: ignore[no-untyped-def]
    text = TEXT.replace("(float[1, 3] x) =>", "(float[1, 3] x, bool f) =>").replace(
        "f = Constant<value = bool {TRUE}>()", ""
    )
    assert "If" in rewritten(take_known_branches, text, {}, {**X, "f": np.array(True)}, changes=0)
