"""Graphs written as text, and what it takes to run one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
import pytest

from edgeml_compress.graph.running import open_session

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
