"""What every rewrite is held to: the same answers, and nothing changed where its pattern is not whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest

from edgeml_compress.graph.naming import name_uniquely

Arrays = Mapping[str, npt.NDArray[Any]]


@pytest.fixture
def rewritten(graph: Callable[..., ir.Model], run: Callable[..., list[Any]]) -> Callable[..., list[str]]:
    """Return a function that rewrites a graph, sees that it answers as before, and returns the operators that are left."""

    def apply(
        rewrite: Callable[[ir.Model], int], text: str, weights: Arrays, feed: Arrays, *, changes: int, opset: int = 17
    ) -> list[str]:
        before = graph(text, weights, opset=opset)
        after = before.clone()
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(after)
        name_uniquely(after)
        common.ShapeInferencePass()(after)
        assert rewrite(after) == changes
        common.RemoveUnusedNodesPass()(after)
        assert [v.name for v in after.graph.outputs] == [v.name for v in before.graph.outputs]
        for expected, got in zip(run(before, feed), run(after, feed), strict=True):
            np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        return [node.op_type for g in (after.graph, *after.graph.subgraphs()) for node in g]

    return apply
