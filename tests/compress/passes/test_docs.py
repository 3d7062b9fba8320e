"""The pass in docs/how-to/add-a-pass.md does what it says, and its recipe is one."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgeml_compress.graph.layers import constant
from edgeml_compress.passes import pass_names

PAGE = Path(__file__).parents[3] / "docs/how-to/add-a-pass.md"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module that the page writes."""
    code = next(c for c in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "PASS = Pass" in c)
    module = ModuleType("clear_weights")
    monkeypatch.setitem(sys.modules, "clear_weights", module)  # dataclasses look their module up
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), module.__dict__)
    return module


def test_the_page_s_pass_clears_small_weights_in_a_copy(written, graph, drafted) -> None:  # type: ignore[no-untyped-def]
    weight = np.array([[1.0, 0.005, -0.5], [0.02, -0.009, 0.3]], np.float32)
    draft = drafted(
        graph("t (float[b, 2] x) => (float[b, 3] y) { y = MatMul(x, w) }", {"w": weight}), {"x": weight[:, :2]}
    )
    done = written.PASS.apply(draft, written.Params())
    cleared = np.where(np.abs(weight) < 0.01, np.float32(0), weight)
    np.testing.assert_array_equal(constant(done.model.graph.initializers["w"]), cleared)
    assert (cleared == 0).sum() == 2
    np.testing.assert_array_equal(constant(draft.model.graph.initializers["w"]), weight)


def test_the_page_s_recipe_names_passes_that_there_are() -> None:
    recipe = tomllib.loads(next(iter(re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL))))
    assert {step["name"] for step in recipe["passes"]} - set(pass_names()) == {"clear_weights"}
