"""What holds for every rewrite, the next one too: a report can tell of it, and preparing runs it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from edgeml_compress import preparation, rewrites
from edgeml_compress.rewrites import said

NAMES = sorted(module.name for module in pkgutil.iter_modules(rewrites.__path__))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_in_a_sentence(name: str) -> None:
    what, noun, why = said(name)
    assert what.format(f"3 {noun}s").endswith(".") and "{}" in what and why.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_function_of_its_files_name_and_preparing_runs_it(name: str) -> None:
    rewrite = getattr(importlib.import_module(f"{rewrites.__name__}.{name}"), name)
    assert getattr(preparation, name) is rewrite
