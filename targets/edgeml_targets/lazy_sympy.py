"""Let onnx-ir load sympy when it computes with symbolic sizes, not before: it costs a third of a second a process.

onnx-ir 1.1 imports sympy at its head, for sizes such as `2 * batch`. A size that is only carried along needs none of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

LATER: Final = frozenset({"sympy", "onnx_ir._symbolic_shapes"})  # the second one uses the first at its own head


class _Later(MetaPathFinder):
    """Finds what is `LATER` as Python does, and has it run at the first use; only for onnx-ir while that is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        importer = sys.modules.get("onnx_ir")
        if fullname not in LATER or importer is None or hasattr(importer, "Model"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def install() -> None:
    """Heed it from now on; a second call changes nothing."""
    if not any(isinstance(finder, _Later) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Later())
