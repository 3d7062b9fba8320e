"""edgeml: make a model small and fast for each device, prove it by measuring, deploy it, watch it, retrain it.

Everything the command line does, Python can do. Names are imported when they are first used, so `import edgeml` is light.

Example:
    >>> import edgeml
    >>> done = edgeml.compress(Path("kws.onnx"), Path("samples.npy"), ["x86_64-litert"], Path("out"))  # doctest: +SKIP
    >>> done.targets[0].chosen  # doctest: +SKIP
    'int8'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from edgeml.bundling import bundle_project as bundle_project
    from edgeml.compression import compress_file as compress
    from edgeml.compression import compress_project as compress_project
    from edgeml.data import Dataset as Dataset
    from edgeml.data import add_labels as add_labels
    from edgeml.demo import run_demo as run_demo
    from edgeml.demo.result import Demo as Demo
    from edgeml.doctor import diagnose as diagnose
    from edgeml.flash import flash_device as flash_device
    from edgeml.lifecycle import status as lifecycle_status
    from edgeml.model import Model as Model
    from edgeml.project import Project as Project
    from edgeml.project import init_project as init_project
    from edgeml.project import load_project as load_project
    from edgeml.retraining import retrain as retrain
    from edgeml.server.serve import serve as serve
    from edgeml.stages import deploy as deploy
    from edgeml.stages import engineer as engineer
    from edgeml.stages import evaluate as evaluate
    from edgeml.stages import prepare as prepare
    from edgeml.stages import release as release
    from edgeml.stages import verify_ledger as verify_ledger
    from edgeml.train import import_model as import_model
    from edgeml_bench import Comparison as Comparison
    from edgeml_bench import Measurement as Measurement
    from edgeml_bench import compare as compare
    from edgeml_bench import measure as measure
    from edgeml_compress import Compression as Compression
    from edgeml_targets.contract.errors import EdgemlError as EdgemlError
    from edgeml_targets.contract.errors import GateFailed as GateFailed
    from edgeml_targets.target import Target as Target
    from edgeml_targets.target import find_target as find_target

__version__: Final = "0.1.0"

# Where each public name lives; `module:name` where it has another name there.
_HOME: Final = {
    "Comparison": "edgeml_bench",
    "Compression": "edgeml_compress",
    "Dataset": "edgeml.data",
    "Demo": "edgeml.demo.result",
    "EdgemlError": "edgeml_targets.contract.errors",
    "GateFailed": "edgeml_targets.contract.errors",
    "Measurement": "edgeml_bench",
    "Model": "edgeml.model",
    "Project": "edgeml.project",
    "Target": "edgeml_targets.target",
    "add_labels": "edgeml.data",
    "bundle_project": "edgeml.bundling",
    "compare": "edgeml_bench",
    "compress": "edgeml.compression:compress_file",
    "compress_project": "edgeml.compression",
    "deploy": "edgeml.stages",
    "diagnose": "edgeml.doctor",
    "engineer": "edgeml.stages",
    "evaluate": "edgeml.stages",
    "find_target": "edgeml_targets.target",
    "flash_device": "edgeml.flash",
    "import_model": "edgeml.train",
    "init_project": "edgeml.project",
    "lifecycle_status": "edgeml.lifecycle:status",
    "load_project": "edgeml.project",
    "measure": "edgeml_bench",
    "prepare": "edgeml.stages",
    "release": "edgeml.stages",
    "retrain": "edgeml.retraining",
    "run_demo": "edgeml.demo",
    "serve": "edgeml.server.serve",
    "verify_ledger": "edgeml.stages",
}
__all__ = [
    "Comparison",
    "Compression",
    "Dataset",
    "Demo",
    "EdgemlError",
    "GateFailed",
    "Measurement",
    "Model",
    "Project",
    "Target",
    "add_labels",
    "bundle_project",
    "compare",
    "compress",
    "compress_project",
    "deploy",
    "diagnose",
    "engineer",
    "evaluate",
    "find_target",
    "flash_device",
    "import_model",
    "init_project",
    "lifecycle_status",
    "load_project",
    "measure",
    "prepare",
    "release",
    "retrain",
    "run_demo",
    "serve",
    "verify_ledger",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'edgeml' has no attribute {name!r}")
    module, _, there = _HOME[name].partition(":")
    return getattr(importlib.import_module(module), there or name)


def __dir__() -> list[str]:
    return sorted(__all__)
