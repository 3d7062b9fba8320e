"""edgeml: make a model small and fast for each device, prove it by measuring, deploy it, watch it, retrain it.

Everything the command line does, Python can do. Names are imported when they are first used, so `import edgeml` is light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml.project import Project as Project
    from edgeml.project import load_project as load_project
    from edgeml_targets.contract.errors import EdgemlError as EdgemlError
    from edgeml_targets.contract.errors import GateFailed as GateFailed

__version__: Final = "0.1.0"

_HOME: Final = {
    "EdgemlError": "edgeml_targets.contract.errors",
    "GateFailed": "edgeml_targets.contract.errors",
    "Project": "edgeml.project",
    "load_project": "edgeml.project",
}
__all__ = ["EdgemlError", "GateFailed", "Project", "load_project"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeml' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
