"""Graphs written as text, what it takes to run one, and drafts of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest

from edgeml_compress import calibrate, prepare
from edgeml_compress.graph.running import open_session
from edgeml_compress.passes import Draft, find_pass
from edgeml_compress.recipe import Recipe, Step, apply
from edgeml_targets.contract.encodings import Encodings
from edgeml_targets.target import Scheme

EVERYTHING = ("Conv", "Relu", "Gemm", "MatMul", "Add", "GlobalAveragePool", "Flatten", "LayerNormalization")
Arrays = Mapping[str, npt.NDArray[Any]]
HEAD = '<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'


@pytest.fixture
def graph() -> Callable[..., ir.Model]:
    """Return a function that reads a graph from ONNX's text form and gives it named weights."""

    def read(text: str, weights: Arrays | None = None, opset: int = 17) -> ir.Model:
        proto = onnx.parser.parse_model(HEAD.format(opset=opset) + text)
        proto.graph.initializer.extend(
            onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()
        )
        onnx.checker.check_model(proto)
        return ir.from_proto(proto)

    return read


@pytest.fixture
def run() -> Callable[..., list[npt.NDArray[Any]]]:
    """Return a function that runs a graph in ONNX Runtime."""

    def answer(model: ir.Model, feed: Arrays) -> list[npt.NDArray[Any]]:
        found: list[npt.NDArray[Any]] = open_session(model).run(None, dict(feed))
        return found

    return answer


@pytest.fixture
def drafted() -> Callable[..., Draft]:
    """Return a function that prepares and calibrates a graph; keywords go into the scheme."""

    def make(model: ir.Model, samples: Arrays, **scheme: Any) -> Draft:
        ready = prepare(model, where="t").model
        found = Scheme(operators=EVERYTHING, **scheme)
        return Draft(ready, Encodings(), calibrate(ready, samples), found, samples=samples)

    return make


@pytest.fixture
def passed() -> Callable[..., Draft]:
    """Return a function that applies passes to a draft: a name, or a name and its parameters."""

    def run(draft: Draft, *steps: Any) -> Draft:
        named = [step if isinstance(step, tuple) else (step, {}) for step in steps]
        return apply(Recipe("t", tuple(Step(n, find_pass(n).params(**p)) for n, p in named)), draft)

    return run
