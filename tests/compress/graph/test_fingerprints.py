"""A fingerprint tells what a network computes: other constants or nodes have another, a clone has the same."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from edgeml_compress.graph.fingerprints import fingerprint

TEXT = "t (float[b, 4] x) => (float[b, 4] y) { a = MatMul(x, w) y = Relu(a) }"
W = np.eye(4, dtype=np.float32)


def test_a_clone_has_the_same_and_what_computes_otherwise_another(graph) -> None:  # type: ignore[no-untyped-def]
    model = graph(TEXT, {"w": W})
    others = [
        graph(TEXT, {"w": W * np.float32(1 + 2**-23)}),
        graph(TEXT.replace("Relu", "Tanh"), {"w": W}),
        graph(TEXT.replace("Relu(a)", "LeakyRelu <alpha = 0.1> (a)"), {"w": W}),
        graph(TEXT.replace("Relu(a)", "LeakyRelu <alpha = 0.2> (a)"), {"w": W}),
    ]
    found = [fingerprint(m) for m in (model, *others)]
    assert len(set(found)) == len(found) and fingerprint(model.clone()) == found[0]


def test_constants_of_any_type_count(graph) -> None:  # type: ignore[no-untyped-def]
    found = []
    for values in (
        np.array(["a", "b"], object),
        np.array(["a", "c"], object),
        np.ones(2, ml_dtypes.bfloat16),
        np.array(True),
    ):
        model = graph(TEXT, {"w": W})
        model.graph.register_initializer(ir.Value(name="c", const_value=ir.tensor(values, name="c")))
        found.append(fingerprint(model))
    assert len(set(found)) == len(found)
