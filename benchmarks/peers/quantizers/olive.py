"""Olive's static quantization of an ONNX model."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from peers.quantize_once import Asked

TITLE: Final = "Olive"
VENV: Final = "olive"
PACKAGE: Final = "olive-ai"
RUNTIME: Final = "onnxruntime"
SUFFIX: Final = ".onnx"
CALL: Final = "olive.workflows.run with the pass OnnxStaticQuantization and its data, nothing else set"
DATASET: Final = "benchmark_samples"


def quantize(asked: Asked) -> None:
    """Write the artifact."""
    os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"
    from olive.data.component.dataset import BaseDataset
    from olive.data.registry import Registry
    from olive.workflows import run

    arrays = asked.arrays()
    samples = [({name: a[i] for name, a in arrays.items()}, 0) for i in range(len(next(iter(arrays.values()))))]

    def load(**_: Any) -> Any:
        return BaseDataset(samples)

    Registry.register_dataset(DATASET)(load)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OLIVE_CACHE_DIR"] = f"{folder}/cache"
        run(_workflow(asked.model, folder), tempdir=folder)
        (made,) = Path(folder, "out").rglob("*.onnx")
        shutil.copyfile(made, asked.out)


def _workflow(model: str, folder: str) -> dict[str, Any]:
    data = {"name": "samples", "load_dataset_config": {"type": DATASET}}
    return {
        "input_model": {"type": "ONNXModel", "model_path": model},
        "data_configs": [data],
        "passes": {"quantized": {"type": "OnnxStaticQuantization", "data_config": "samples"}},
        "output_dir": f"{folder}/out",
        "cache_dir": f"{folder}/cache",
    }
