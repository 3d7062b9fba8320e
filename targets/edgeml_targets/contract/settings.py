"""A target's settings, resolved: what a runtime needs to load an artifact. Devices read no TOML; a bundle carries this."""

from __future__ import annotations

from typing import Literal

import msgspec

Precision = Literal["float32", "float16", "bfloat16"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a runtime runs on a target.

    Args:
        target: The target's name, `raspberrypi5-onnxruntime`.
        runtime: The runtime's name, which is its file's name in `runtimes/`.
        threads: Threads of one inference, 1 or more.
        precision: What floating point operators compute in; asked for, so that a runtime's own default cannot differ.
        device: `cpu`, or an accelerator by the runtime's own name (`cuda:0`).
    """

    target: str
    runtime: str
    threads: int = 1
    precision: Precision = "float32"
    device: str = "cpu"
