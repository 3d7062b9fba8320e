"""The public API is one list; every name on it is there, documented, and imported only when it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgeml

HEAVY = "torch onnx onnxruntime openvino numba pandas nicegui fastapi sqlalchemy plotly scipy PIL".split()


@pytest.mark.parametrize("name", edgeml.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(edgeml, name).__doc__


def test_the_lists_for_people_for_type_checkers_and_for_python_agree() -> None:
    tree = ast.parse(Path(edgeml.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert typed == set(edgeml.__all__) == set(edgeml._HOME)
    assert edgeml.__all__ == sorted(edgeml.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgeml.nothing


@pytest.mark.parametrize(
    "way", [["-c", "import edgeml"], ["-m", "edgeml", "--help"], ["-m", "edgeml", "agent", "--help"]]
)
def test_start_up_imports_nothing_heavy(way: list[str]) -> None:
    traced = subprocess.run([sys.executable, "-X", "importtime", *way], capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in traced.stderr.splitlines()}
    assert imported.isdisjoint(HEAVY)
