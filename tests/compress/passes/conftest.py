"""How far the integers of drafts are off."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
import pytest

from edgeml_compress.graph.running import open_session
from edgeml_compress.judging.fidelity import relative_error
from edgeml_compress.passes import Draft
from edgeml_targets.exporters.onnx import write_graph

Arrays = Mapping[str, npt.NDArray[Any]]


@pytest.fixture
def error_of() -> Callable[[Draft, ir.Model, Arrays], float]:
    """Return a function that runs a draft as its artifact would and tells the relative error of its answers to a float model's."""

    def find(draft: Draft, plain: ir.Model, samples: Arrays) -> float:
        session, before = open_session(write_graph(draft.model, draft.encodings)), open_session(plain)
        names = [output.name for output in before.get_outputs()]
        reference = dict(zip(names, before.run(names, dict(samples)), strict=True))
        return relative_error(reference, dict(zip(names, session.run(names, dict(samples)), strict=True)))

    return find


@pytest.fixture
def same_weights() -> Callable[[Draft, Draft], bool]:
    """Return a function that tells whether two drafts hold the same constants, bit for bit."""

    def compare(one: Draft, other: Draft) -> bool:
        def held(draft: Draft) -> dict[str, bytes]:
            constants = draft.model.graph.initializers.items()
            return {name: v.const_value.numpy().tobytes() for name, v in constants if v.const_value is not None}

        return held(one) == held(other)

    return compare
