"""What runs on a device runs on Python 3.10, and says the version that it is of."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import edgeml_agent
import edgeml_targets

HOST_ONLY = {"target.py"}  # reads TOML, which a device does not
FILES = [
    file
    for package in (edgeml_agent, edgeml_targets)
    for file in sorted(Path(package.__path__[0]).rglob("*.py"))
    if file.name not in HOST_ONLY
]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_is_python_3_10(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 10))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    froms = {(n.module, a.name) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert "tomllib" not in names
    assert not froms & {("enum", "StrEnum"), ("typing", "Self"), ("typing", "assert_never"), ("datetime", "UTC")}


def test_its_version_is_the_distribution_s() -> None:
    assert version("edgeml") == edgeml_agent.AGENT_VERSION
